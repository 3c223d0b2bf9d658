"""What a model is, and loading it: whole, in the precision asked for, and without running its author's code."""

from __future__ import annotations

import json
import pickle
import shutil
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from models import tiny_models

from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.models.local.generation import Decoding, Generator
from chatir.models.local.loading import Precision, folder_sha256, load_model, load_tokenizer, model_identity

MAPS = Path("/proc/self/maps")
PROMPT = "Caption: a big red heart\nQuestion:"


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "llama": tiny_models.causal(folder / "llama"),
        "gpt2": tiny_models.causal(folder / "gpt2", kind="gpt2"),
        "t5": tiny_models.t5(folder / "t5"),
        "built-in t5": checkpoints()["t5"],
    }


@pytest.fixture
def folder(makers: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(makers["llama"], tmp_path / "tiny"))


def one_line(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as told:
        call()
    assert "\n" not in str(told.value)
    return str(told.value)


def load(folder: Path, precision: Precision = "fp32", device_map: str = "cpu") -> Any:
    return load_model(str(folder), None, precision, device_map)


def change(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_folder_is_known_by_its_name_and_the_hash_of_its_files(folder: Path) -> None:
    assert model_identity(str(folder), None) == {"id": "tiny", "sha256": folder_sha256(folder)}


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"])
def test_the_hash_changes_with_any_byte_of_what_the_model_does(folder: Path, name: str) -> None:
    before = folder_sha256(folder)
    change(folder / name)
    assert folder_sha256(folder) != before


@pytest.mark.parametrize("name", ["merges.txt", "vocab.txt", "chat_template.jinja", "part/more.json"])
def test_the_hash_changes_with_a_further_file(folder: Path, name: str) -> None:
    before = folder_sha256(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("a b")
    added = folder_sha256(folder)
    (folder / name).write_text("a c")
    assert len({before, added, folder_sha256(folder)}) == 3


def test_the_hash_changes_with_a_file_s_name(folder: Path) -> None:
    before = folder_sha256(folder)
    (folder / "generation_config.json").rename(folder / "other.json")
    assert folder_sha256(folder) != before


def test_the_hash_stays_when_the_folder_moves_or_somebody_writes_notes(folder: Path, tmp_path: Path) -> None:
    before = folder_sha256(folder)
    for name in ("README.md", "LICENSE", "LICENSE.txt", "readme.txt", "loss.png", ".gitattributes", ".cache/x.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("notes")
    folder.rename(tmp_path / "elsewhere")
    assert folder_sha256(tmp_path / "elsewhere") == before


def test_the_hash_of_links_is_that_of_the_files(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in folder.iterdir():
        (linked / file.name).symlink_to(file)
    assert folder_sha256(linked) == folder_sha256(folder)


def test_a_folder_has_no_revisions(folder: Path) -> None:
    assert one_line(lambda: model_identity(str(folder), "main")) == f"{folder}: is a folder, and has no revisions"


@pytest.mark.parametrize("name", ["nobody/no-such-model", "no-such-model", "not a name!"])
def test_a_model_of_the_hub_that_cannot_be_had_is_named_in_one_line(name: str) -> None:
    told = one_line(lambda: model_identity(name, None))
    assert told.startswith(f"model {name}: cannot be had, neither as a folder nor from the hub: ")


@pytest.mark.parametrize("name", ["/no/such/folder", "./missing", "../missing", "~/missing", "a/b/c"])
def test_what_can_only_be_a_folder_is_not_looked_for_on_the_hub(name: str) -> None:
    assert one_line(lambda: model_identity(name, None)) == f"{name}: there is no such folder"


def test_a_folder_without_a_configuration_holds_no_model(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert one_line(lambda: model_identity(str(folder), None)).endswith("there is no config.json")


def no_json(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def no_kind(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def header_only(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:50])


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()


def wrong_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 40}))


def one_weight_less(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    "breaks", [no_json, no_kind, truncated, header_only, no_weights, no_tokenizer, wrong_size, one_weight_less]
)
def test_a_broken_folder_is_told_in_one_line(folder: Path, breaks: Callable[[Path], None]) -> None:
    breaks(folder)
    assert one_line(lambda: load(folder)).startswith(f"model {folder}: ")


def test_a_weight_that_is_not_there_is_not_made_up(folder: Path) -> None:
    one_weight_less(folder)
    assert "it lacks the weights model.layers.1.mlp.up_proj.weight" in one_line(lambda: load(folder))


class Marks:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("in_a_zip", [True, False])
def test_code_in_pickled_weights_does_not_run(folder: Path, tmp_path: Path, in_a_zip: bool) -> None:
    import torch

    (folder / "model.safetensors").unlink()
    weights, mark = folder / "pytorch_model.bin", tmp_path / "mark"
    if in_a_zip:
        torch.save({"lm_head.weight": Marks(mark)}, weights)
    else:
        weights.write_bytes(pickle.dumps(Marks(mark)))
    assert one_line(lambda: load(folder)).startswith(f"model {folder}: cannot be loaded: ")
    assert not mark.exists()


def test_pickled_weights_without_code_load(folder: Path) -> None:
    import torch

    before = load(folder).model.state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(before, folder / "pytorch_model.bin")
    after = load(folder).model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


@pytest.mark.parametrize("kind", ["own", "llama"])
def test_code_of_its_author_is_neither_run_nor_asked_for(
    folder: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refusing(prompt: str = "") -> str:
        asked.append(prompt)
        return "n"

    monkeypatch.setattr("builtins.input", refusing)
    mark = tmp_path / "mark"
    code = "from transformers import LlamaConfig as C, LlamaForCausalLM as M, PreTrainedTokenizerFast as T\n"
    (folder / "own.py").write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n{code}")
    for name, kinds in (
        ("config.json", {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}),
        ("tokenizer_config.json", {"AutoTokenizer": [None, "own.T"]}),
    ):
        content = json.loads((folder / name).read_text())
        changed = {"model_type": "own", "tokenizer_class": "T"} if kind == "own" else {}
        (folder / name).write_text(json.dumps(content | changed | {"auto_map": kinds}))
    if kind == "own":
        one_line(lambda: load(folder))
    else:  # a kind that transformers knows: its own code loads it
        assert load(folder).model
    try:
        load_tokenizer(str(folder), None)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way will do
    assert asked == []
    assert not mark.exists()


MODELS = ("llama", "gpt2", "t5", "built-in t5")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_model_generates_in_the_precision_asked_for(makers: dict[str, Path], name: str, precision: Precision) -> None:
    import torch

    wanted = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    loaded = load(makers[name], precision, "auto")
    kept = {key for key, weight in loaded.model.named_parameters() if weight.dtype != wanted}
    assert all(key.endswith(".wo.weight") and "t5" in name for key in kept), "T5 keeps these in fp32"
    (result,) = Generator(loaded, Decoding()).generate([PROMPT], [0], 8, "text")
    assert 0 < result.tokens_out <= 8


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_a_model_generates_with_quantized_linear_layers(
    makers: dict[str, Path], name: str, precision: Precision
) -> None:
    import bitsandbytes as bnb
    import torch

    loaded = load(makers[name], precision, "auto")
    wanted = bnb.nn.Linear8bitLt if precision == "8bit" else bnb.nn.Linear4bit
    layers = {key: part for key, part in loaded.model.named_modules() if isinstance(part, torch.nn.Linear)}
    quantized = {key for key, layer in layers.items() if isinstance(layer, wanted)}
    assert quantized
    assert {layers[key].weight.dtype for key in quantized} <= {torch.int8, torch.uint8}
    assert {key.rpartition(".")[2] for key in layers.keys() - quantized} <= {"lm_head", "wo"}
    assert "lm_head" not in quantized
    assert not any(key.endswith(".wo") for key in quantized)
    (result,) = Generator(loaded, Decoding()).generate([PROMPT], [0], 8, "text")
    assert 0 < result.tokens_out <= 8


@pytest.mark.skipif(not MAPS.exists(), reason="the system does not list what a process maps")
@pytest.mark.parametrize("precision", ["8bit", "4bit"])
def test_of_what_is_quantized_no_more_than_one_weight_is_in_memory_unquantized(
    makers: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, BitsAndBytesConfig
    from transformers.integrations import bitsandbytes as quantizing

    shards = tmp_path / "shards"
    shutil.copytree(makers["t5"], shards)
    (shards / "model.safetensors").unlink()
    AutoModelForSeq2SeqLM.from_pretrained(makers["t5"]).bfloat16().save_pretrained(shards, max_shard_size="50KB")
    assert len([*shards.glob("*.safetensors")]) > 2
    how: Any = {"load_in_8bit": True} if precision == "8bit" else {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    plain = AutoModelForSeq2SeqLM.from_pretrained(
        shards, quantization_config=BitsAndBytesConfig(**how), device_map={"": "cpu"}, dtype=torch.float32
    )
    kind = quantizing.Bnb8bitQuantize if precision == "8bit" else quantizing.Bnb4bitQuantize
    quantize = kind.convert
    read: list[weakref.ref[Any]] = []
    mapped, unquantized = [], []

    def convert(self: Any, weights: dict[str, Any], **about: Any) -> Any:
        read.extend(weakref.ref(weight) for [weight] in weights.values())
        mapped.append(str(shards) in MAPS.read_text())
        unquantized.append(sum(weight() is not None for weight in read))
        return quantize(self, weights, **about)

    monkeypatch.setattr(kind, "convert", convert)
    loaded = load(shards, precision, "auto")
    assert len(read) > 10
    assert not any(mapped)
    assert str(shards) not in MAPS.read_text()
    assert set(unquantized) == {1}
    assert weights(loaded.model) == weights(plain.eval())


def weights(model: Any) -> dict[str, list[Any]]:
    """All numbers of a model, with those of its quantization, where they can be compared."""
    return {name: [str(each.dtype), each.tolist()] for name, each in model.state_dict().items()}


@pytest.mark.parametrize("name", ["llama", "t5"])
@pytest.mark.parametrize("device_map", ["cpu", "auto"])
@pytest.mark.parametrize("precision", ["fp32", "8bit"])
def test_a_map_of_devices_changes_no_text(
    makers: dict[str, Path], name: str, device_map: str, precision: Precision
) -> None:
    texts = [
        Generator(load(makers[name], precision, where), Decoding()).generate([PROMPT], [0], 8, "text")[0].texts
        for where in ("cpu", device_map)
    ]
    assert texts[0] == texts[1]


def test_a_map_of_devices_that_there_is_not_is_told_in_one_line(folder: Path) -> None:
    assert one_line(lambda: load(folder, device_map="gpu")).startswith("device_map=gpu: must be auto, balanced, ")


def test_a_questioner_and_an_answerer_that_load_at_once_both_get_all_their_weights() -> None:
    kinds = {"t5": None, "blip2": "Blip2ForConditionalGeneration", "clip": "CLIPModel"}
    with ThreadPoolExecutor(len(kinds)) as players:
        for _ in range(5):
            begun = [
                players.submit(load_model, str(checkpoints()[name]), None, "fp32", "auto", kind)
                for name, kind in kinds.items()
            ]
            assert all(each.result().model is not None for each in begun)
