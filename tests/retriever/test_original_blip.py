"""`chatir`: an original BLIP checkpoint gives what the original code gave; any other file gives one line."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from precisions import newer
from torch import Tensor

from chatir.errors import InputError
from chatir.plugins import build
from chatir.retriever.encoders.original_blip import Towers, read_checkpoint

State = dict[str, Any]


@pytest.fixture(scope="module")
def original(shared: Path) -> Path:
    """A small checkpoint of the original code, its tokenizer's vocabulary, and what that code gave."""
    return shared / "fixtures" / "blip_original"


@pytest.fixture(scope="module")
def expected(original: Path) -> dict[str, Any]:
    return dict(json.loads((original / "expected.json").read_text()))


@pytest.fixture(scope="module")
def state(original: Path) -> State:
    return dict(torch.load(original / "checkpoint.pth", weights_only=True)["model"])


def chatir(checkpoint: Path, tokenizer: Path, **options: Any) -> Any:
    return build("retrievers", "chatir", {"checkpoint": str(checkpoint), "tokenizer": str(tokenizer), **options})


@pytest.fixture(scope="module")
def retriever(original: Path) -> Any:
    return chatir(original / "checkpoint.pth", original)


def close(found: Tensor, wanted: Any) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("batch_tokens", [1, 250, 900, 16384])
def test_texts_are_encoded_as_the_original_code_did(
    original: Path, expected: dict[str, Any], batch_tokens: int
) -> None:
    texts, vectors = expected["texts"], torch.tensor(expected["text_embeddings"])
    retriever = chatir(original / "checkpoint.pth", original, batch_tokens=batch_tokens)
    close(retriever.encode_dialogs(texts), vectors)
    order = random.Random(0).sample(range(len(texts)), len(texts))
    close(retriever.encode_dialogs([texts[place] for place in order]), vectors[order])
    close(retriever.encode_dialogs(texts[:3] * 2), vectors[[0, 1, 2] * 2])


def test_images_are_encoded_as_the_original_code_did(original: Path, expected: dict[str, Any], retriever: Any) -> None:
    images = [original / f"image{number}.png" for number in range(3)]
    close(retriever.encode_images(images), expected["image_embeddings"])
    for number, image in enumerate(images):
        close(retriever.encode_images([image]), expected["image_embeddings"][number : number + 1])


@pytest.mark.usefixtures("own_precisions")
def test_fp32_is_computed_in_fp32(original: Path) -> None:
    torch.set_float32_matmul_precision("medium")
    chatir(original / "checkpoint.pth", original).encode_dialogs(["a red heart"])
    assert set(newer().values()) == {"ieee"}


def test_texts_are_cut_at_200_tokens(retriever: Any, expected: dict[str, Any]) -> None:
    assert retriever.config["max_tokens"] == expected["max_length"] == 200
    texts = [" ".join(["star"] * words) for words in (197, 198, 199, 400)]  # besides [CLS] and [SEP]
    assert retriever.truncated(texts) == [False, False, True, True]
    vectors = retriever.encode_dialogs(texts)
    assert torch.equal(vectors[1].expand(2, -1), vectors[2:])
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-6)


def test_more_may_be_read_but_not_more_than_the_checkpoint_has_positions_for(original: Path) -> None:
    more = chatir(original / "checkpoint.pth", original, max_tokens=512)
    assert more.truncated(["star " * 400]) == [False]
    assert more.encode_dialogs(["star " * 700]).shape == (1, 256)
    with pytest.raises(InputError, match="max_tokens=513: the model reads 512 tokens at most"):
        chatir(original / "checkpoint.pth", original, max_tokens=513)


def test_the_checkpoint_is_known_by_its_content_and_images_do_not_hang_on_the_tokenizer(
    original: Path, retriever: Any, tmp_path: Path
) -> None:
    shutil.copyfile(original / "vocab.txt", tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").chmod(0o644)
    same = chatir(original / "checkpoint.pth", tmp_path)
    assert {**same.config, "tokenizer": 0} == {**retriever.config, "tokenizer": 0}
    assert same.config["tokenizer"]["sha256"] == retriever.config["tokenizer"]["sha256"]
    assert same.image_config == retriever.image_config
    assert "tokenizer" not in same.image_config
    words = (tmp_path / "vocab.txt").read_text().split("\n")
    words[3000], words[3001] = words[3001], words[3000]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    other = chatir(original / "checkpoint.pth", tmp_path)
    assert (other.config != same.config, other.image_config == same.image_config) == (True, True)
    assert retriever.name == "ChatIR"


def saved(state: State, file: Path, **how: Any) -> Path:
    torch.save(state, file, **how)
    return file


def as_momentum(state: State) -> State:
    """Copies and queues as training leaves them, of weights that would change everything if they were read."""
    copies = {}
    for name, tensor in state.items():
        top, _, rest = name.partition(".")
        if top in ("visual_encoder", "text_encoder", "vision_proj", "text_proj"):
            copies[f"{top}_m.{rest}"] = torch.full_like(tensor, 9)
    queues = {"image_queue": torch.ones(256, 10), "text_queue": torch.ones(256, 10), "idx_queue": torch.ones(1, 10)}
    return {
        **copies,
        **state,
        **queues,
        "ptr_queue": torch.zeros(1),
        "queue_ptr": torch.zeros(1),
        "temp": torch.ones([]),
    }


KINDS: dict[str, Callable[[State], State]] = {
    "bare": dict,
    "momentum": lambda state: {
        "model": as_momentum(state),
        "optimizer": {"state": {}},
        "epoch": 5,
        "config": {"lr": 1},
    },
    "fp16": lambda state: {"model": {k: v.half() if v.is_floating_point() else v for k, v in state.items()}},
    "no matching head": lambda state: {"model": {k: v for k, v in state.items() if not k.startswith("itm_head")}},
    "no cross-attention": lambda state: {"model": {k: v for k, v in state.items() if "crossattention" not in k}},
    "with a decoder": lambda state: {"model": {**state, "text_decoder.cls.bias": torch.ones(3)}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_checkpoints_of_every_kind_are_read(
    kind: str, state: State, original: Path, expected: dict[str, Any], tmp_path: Path
) -> None:
    retriever = chatir(saved(KINDS[kind](state), tmp_path / "weights.ckpt"), original)
    vectors = retriever.encode_dialogs(expected["texts"][:4])
    allowed = 2e-3 if kind == "fp16" else 1e-5
    torch.testing.assert_close(vectors, torch.tensor(expected["text_embeddings"][:4]), atol=allowed, rtol=0)
    assert all(weight.dtype == torch.float32 for weight in retriever._model.parameters())


def test_the_older_file_format_is_read_too(state: State, tmp_path: Path) -> None:
    file = saved({"model": state}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    weight = read_checkpoint(file).weights["text_proj.weight"]
    assert torch.equal(weight, state["text_proj.weight"])


def test_only_what_retrieval_needs_is_built(original: Path, state: State) -> None:
    towers = read_checkpoint(original / "checkpoint.pth").towers("cpu", torch.float32)
    assert {name.partition(".")[0] for name, _ in towers.named_parameters()} == {
        "vision_model", "text_encoder", "vision_proj", "text_proj",
    }  # fmt: skip
    unused = ("crossattention", "itm_head", "position_ids")
    kept = [name for name in state if not any(part in name for part in unused)]
    assert sum(1 for _ in towers.parameters()) == len(kept)
    assert isinstance(towers, Towers)


def test_sizes_are_read_from_the_weights(state: State, original: Path, tmp_path: Path) -> None:
    """Another image size, patch and depth than the usual ones."""
    changed = {name: tensor for name, tensor in state.items() if ".blocks.1." not in name}
    changed["visual_encoder.patch_embed.proj.weight"] = torch.randn(64, 3, 8, 8)
    changed["visual_encoder.pos_embed"] = torch.randn(1, 1 + 5 * 5, 64)
    retriever = chatir(saved(changed, tmp_path / "small.pth"), original)
    assert retriever.config["preprocessing"]["size"] == 40
    assert retriever.encode_images([original / "image0.png"]).shape == (1, 256)


def refused(file: Path, tokenizer: Path) -> str:
    """The line that a file ends with, the file's name cut off."""
    with pytest.raises(InputError) as told:
        chatir(file, tokenizer)
    line = str(told.value)
    assert "\n" not in line
    assert line.startswith(f"{file}: ")
    return line.removeprefix(f"{file}: ")


class Marks:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("how", ["zip", "old", "pickle", "beside the weights"])
def test_code_in_a_checkpoint_does_not_run(how: str, state: State, original: Path, tmp_path: Path) -> None:
    file, mark = tmp_path / "evil.ckpt", tmp_path / "mark"
    if how == "pickle":
        file.write_bytes(pickle.dumps(Marks(mark)))
    elif how == "beside the weights":
        saved({"model": state, "config": Marks(mark)}, file)
    else:
        saved({"model": Marks(mark)}, file, _use_new_zipfile_serialization=how == "zip")
    assert "which is not run" in refused(file, original)
    assert not mark.exists()


def test_what_is_no_checkpoint_is_told(original: Path, tmp_path: Path) -> None:
    whole = (original / "checkpoint.pth").read_bytes()
    noise = random.Random(0)
    contents = {
        "empty": b"", "text": b"a star\n" * 99, "noise": noise.randbytes(5000), "zip": b"PK\x03\x04" + bytes(99),
        "half": whole[: len(whole) // 2], "nearly whole": whole[:-100], "beginning": whole[:50],
        "pickle": pickle.dumps([1, 2]), "image": (original / "image0.png").read_bytes(),
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        line = refused(tmp_path / name, original)
        assert line.startswith(("cannot be read: it is damaged, is no checkpoint", "holds no weights")), (name, line)
    assert refused(tmp_path / "missing", original) == "there is no such file"
    assert refused(tmp_path, original) == "is no file"


def test_damaged_bytes_are_one_line_at_worst(original: Path, tmp_path: Path) -> None:
    """Where a zip file keeps its directory and its pickle, any byte may be another."""
    whole = bytearray((original / "checkpoint.pth").read_bytes())
    noise = random.Random(0)
    file = tmp_path / "damaged.pth"
    lines = []
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(noise.randint(1, 4)):
            place = noise.choice([noise.randrange(20_000), len(whole) - 1 - noise.randrange(20_000)])
            damaged[place] = noise.randrange(256)
        file.write_bytes(damaged)
        try:
            read_checkpoint(file)
        except InputError as error:
            lines.append(str(error))
    assert len(lines) > 10
    assert all(line.startswith(f"{file}: ") and "\n" not in line for line in lines)


@pytest.mark.parametrize("content", [[1, 2], "weights", {"model": 3}, {"model": {1: torch.ones(2)}}, torch.ones(3)])
def test_other_content_is_told(content: Any, original: Path, tmp_path: Path) -> None:
    assert refused(saved(content, tmp_path / "other.pth"), original).startswith("holds no weights by their names")


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def with_(name: str, value: Any) -> Callable[[State], State]:
    return lambda state: {**state, name: value}


PATCH = "visual_encoder.patch_embed.proj.weight"
QKV = "visual_encoder.blocks.1.attn.qkv.weight"
CLAIMED = torch.ones(1).expand(10**9, 10**3)  # a terabyte that the file does not have
MISFITS = {
    "lacks a weight": (without("text_proj.bias"), "it lacks text_proj.bias"),
    "lacks what tells sizes": (without(PATCH), f"it lacks {PATCH}"),
    "another model": (lambda _: {"encoder.weight": torch.ones(2, 2)}, f"it lacks {PATCH}"),
    "one left over": (with_("visual_encoder.head.weight", torch.ones(2)), "it also holds visual_encoder.head.weight"),
    "only momentum": (
        lambda state: {k.replace("text_proj.", "text_proj_m."): v for k, v in state.items()}, "lacks text_proj.",
    ),
    "a far layer": (with_("visual_encoder.blocks.999999999.x", torch.ones(2)), "it lacks visual_encoder.blocks.2."),
    "another shape": (with_(QKV, torch.ones(64, 192)), f"the shape of the rest: {QKV}"),
    "other dimensions": (with_(PATCH, torch.ones(64, 3)), f"{PATCH} has the shape [64, 3]"),
    "nothing in it": (with_(PATCH, torch.ones(0, 3, 16, 16)), f"{PATCH} has the shape [0, 3, 16, 16]"),
    "an odd width": (with_(PATCH, torch.ones(65, 3, 16, 16)), "widths of 65 and 64 with 196 patches"),
    "no square": (with_("visual_encoder.pos_embed", torch.ones(1, 198, 64)), "with 197 patches are none of its sizes"),
    "numbers": (with_("text_proj.bias", [1.0, 2.0]), "text_proj.bias is no plain tensor"),
    "integers": (with_("text_proj.bias", torch.ones(256, dtype=torch.long)), "text_proj.bias is no plain tensor"),
    "sparse": (with_("text_proj.bias", torch.ones(256).to_sparse()), "text_proj.bias is no plain tensor"),
    "a false claim": (with_(PATCH, CLAIMED), f"{PATCH} is no plain tensor"),
    "a larger vocabulary": (
        with_("text_encoder.embeddings.word_embeddings.weight", torch.ones(30525, 64)),
        "knows 30525 tokens, but the tokenizer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("misfit", MISFITS)
def test_weights_of_something_else_are_named(misfit: str, state: State, original: Path, tmp_path: Path) -> None:
    change, told = MISFITS[misfit]
    assert told in refused(saved({"model": change(state)}, tmp_path / "misfit.pth"), original)


def test_only_the_first_few_are_named(state: State, original: Path, tmp_path: Path) -> None:
    fewer = {name: tensor for name, tensor in state.items() if ".norm" not in name}
    line = refused(saved(fewer, tmp_path / "fewer.pth"), original)
    assert line.count("visual_encoder.") == 3
    assert line.endswith(" and 7 more")


def no_vocabulary(folder: Path) -> None:
    (folder / "vocab.txt").unlink()


def short(folder: Path) -> None:
    words = (folder / "vocab.txt").read_text().split("\n")
    (folder / "vocab.txt").write_text("\n".join(words[:-100]))


def empty(folder: Path) -> None:
    (folder / "vocab.txt").write_text("")


@pytest.mark.parametrize("breaks", [no_vocabulary, short, empty])
def test_a_tokenizer_that_does_not_fit_is_told(breaks: Callable[[Path], None], original: Path, tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes((original / "vocab.txt").read_bytes())
    breaks(tmp_path)
    with pytest.raises(InputError) as told:
        chatir(original / "checkpoint.pth", tmp_path)
    assert str(tmp_path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_tokenizer_that_cannot_be_had_is_told(original: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        chatir(original / "checkpoint.pth", tmp_path / "none")
    with pytest.raises(InputError, match="neither as a folder nor from the hub"):
        build("retrievers", "chatir", {"checkpoint": str(original / "checkpoint.pth")})
