"""BLIP-2 at hand: what transformers' own `generate` says, whatever the batch; images encoded once; every precision."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import tiny_blip2
from PIL import Image

from chatir.datasets.scenes.folder import write_scenes
from chatir.datasets.scenes.people import heard
from chatir.datasets.targets import Targets
from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.models.completion import Completion
from chatir.models.local.blip2 import Blip2Model, Blip2Options
from chatir.models.local.vision_model import Look
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context

WORDS = ("a", "big", "red", "heart", "blue", "star", "center", "is", "there", "yes", "in", "the", "question", "?")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight images of noise, and one that is broken."""
    folder = tmp_path_factory.mktemp("images")
    noise = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(noise.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "broken.png").write_bytes((folder / "0.png").read_bytes()[:500])
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "t5": tiny_blip2.blip2(folder / "t5", "t5"),
        "opt": tiny_blip2.blip2(folder / "opt", "opt", room=64),
        "built-in": checkpoints()["blip2"],
    }


def made(folder: Path, context: Context, **options: Any) -> Blip2Model:
    return Blip2Model(Blip2Options(**{"model": str(folder), "precision": "fp32", **options}), context)


def looks(count: int, longest: int = 20) -> list[Look]:
    rng = random.Random(0)
    return [Look(f"{n % 8}.png", " ".join(rng.choices(WORDS, k=rng.randint(1, longest)))) for n in range(count)]


def texts(completions: list[Completion]) -> list[str | None]:
    return [completion.text for completion in completions]


def by_transformers(folder: Path, root: Path, some: list[Look], beams: int) -> list[str]:
    """One image and text at a time, pixels and all, as anyone would."""
    from transformers import AutoProcessor, Blip2ForConditionalGeneration

    model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    said = []
    for look in some:
        picture = Image.open(root / look.image).convert("RGB")
        inputs = processor(images=picture, text=look.text, return_tensors="pt")
        penalty = {"length_penalty": -1.0} if beams > 1 else {}
        output = model.generate(**inputs, num_beams=beams, max_new_tokens=10, do_sample=False, **penalty)[0]
        start = 0 if model.config.text_config.is_encoder_decoder else inputs["input_ids"].shape[1]
        said.append(processor.decode(output[start:], skip_special_tokens=True).strip())
    return said


@pytest.mark.parametrize("beams", [1, 5])
@pytest.mark.parametrize("language", ["t5", "opt"])
def test_a_batch_says_what_generate_says_for_one_image_and_text(
    folders: dict[str, Path], images: Path, language: str, beams: int
) -> None:
    some = looks(40)
    said = texts(made(folders[language], Context(images), beams=beams, batch_size=7).complete(some))
    assert said == by_transformers(folders[language], images, some, beams)
    assert len(set(said)) > 20  # what is said hangs on image and text


def test_what_is_said_hangs_on_the_image(folders: dict[str, Path], images: Path) -> None:
    for language in ("t5", "opt"):
        model = made(folders[language], Context(images))
        assert len(set(texts(model.complete([Look(f"{n}.png", "is there a heart?") for n in range(8)])))) > 4


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image was encoded."""
    seen: Counter[str] = Counter()
    encode = Blip2Model._encoded

    def watched(self: Blip2Model, prepared: Mapping[str, Any]) -> Any:
        seen.update([*prepared])
        return encode(self, prepared)

    monkeypatch.setattr(Blip2Model, "_encoded", watched)
    return seen


def test_an_image_is_encoded_once_for_all_rounds(folders: dict[str, Path], images: Path, encoded: Counter[str]) -> None:
    model = made(folders["t5"], Context(images))
    for number in range(10):
        model.complete([Look(f"{n}.png", f"question {number}?") for n in range(8)])
    assert set(encoded.values()) == {1}
    assert len(encoded) == 8


def test_an_image_that_was_given_up_is_encoded_again_and_answered_alike(
    folders: dict[str, Path], images: Path, encoded: Counter[str]
) -> None:
    some = [Look(f"{n}.png", "is there a red heart?") for n in range(8)]
    roomy = texts(made(folders["opt"], Context(images)).complete(some))
    encoded.clear()
    tight = made(folders["opt"], Context(images), batch_size=2, kept_images=1)
    assert [texts(tight.complete([look]))[0] for look in (*some, *some)] == roomy * 2
    assert set(encoded.values()) == {2}
    assert len(tight._seen) == 2  # a batch needs all of its images


def test_a_broken_image_fails_its_looks_only(folders: dict[str, Path], images: Path) -> None:
    model = made(folders["t5"], Context(images), batch_size=4)
    some = looks(12)
    mixed = [*some[:5], Look("broken.png", "is it?"), Look("gone.png", "is it?"), *some[5:]]
    completions = model.complete(mixed)
    kinds = [completion.failure and completion.failure.kind for completion in completions[5:7]]
    assert kinds == ["broken_image", "missing_image"]
    assert texts(completions[:5] + completions[7:]) == texts(model.complete(some))
    assert "broken.png" in str(completions[5].failure)


def test_a_text_that_names_the_image_token_is_just_a_text(folders: dict[str, Path], images: Path) -> None:
    for language in ("t5", "opt"):
        model = made(folders[language], Context(images))
        alone = texts(model.complete([Look("0.png", "is <image> <image> red?"), Look("0.png", "is red?")]))
        assert alone[0] != alone[1]
        assert texts(model.complete([*looks(5), Look("0.png", "is <image> <image> red?")]))[-1] == alone[0]


def test_a_text_too_long_is_a_failure_of_its_own_and_t5_knows_none(folders: dict[str, Path], images: Path) -> None:
    long = Look("0.png", "red heart " * 60)
    short, too_long = made(folders["opt"], Context(images)).complete([Look("0.png", "is it?"), long])
    assert short.text is not None
    assert too_long.failure is not None
    assert too_long.failure.kind == "context_overflow"
    assert "the model's 64" in too_long.failure.message
    assert made(folders["t5"], Context(images)).complete([long])[0].text is not None


def test_the_longest_text_that_fits_is_answered(folders: dict[str, Path], images: Path) -> None:
    model = made(folders["opt"], Context(images))
    size = next(n for n in range(100) if model._overflow("a" + " a" * n) is not None)
    fits, over = model.complete([Look("0.png", "a" + " a" * (size - 1)), Look("0.png", "a" + " a" * size)])
    assert fits.text is not None
    assert fits.tokens_in == 64 - 10
    assert over.failure is not None


def test_tokens_are_counted_without_padding_and_a_cut_is_told(folders: dict[str, Path], images: Path) -> None:
    model = made(folders["opt"], Context(images), beams=1)
    some = looks(16)
    both = model.complete(some)
    tokenizer = model._tokenizer
    assert [each.tokens_in for each in both] == [4 + len(tokenizer(look.text)["input_ids"]) for look in some]
    assert all(each.cut == (each.tokens_out == 10) for each in both if each.tokens_out)
    assert any(each.cut for each in both)


def test_where_the_memory_ends_fewer_are_done_at_once(
    folders: dict[str, Path], images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = looks(20)
    wanted = texts(made(folders["t5"], Context(images)).complete(some))
    told: list[str] = []
    model = made(folders["t5"], Context(images, progress=told.append), batch_size=16)
    completed = Blip2Model._completed

    def bounded(self: Blip2Model, batch: list[Look], encodings: list[Any]) -> list[Completion]:
        if len(batch) > 5:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return completed(self, batch, encodings)

    monkeypatch.setattr(Blip2Model, "_completed", bounded)
    assert texts(model.complete(some)) == wanted
    assert told[1:] == [f"t5: out of memory; {size} at once for now" for size in (8, 4)]


def test_the_models_own_generation_settings_are_left_aside(
    folders: dict[str, Path], images: Path, tmp_path: Path
) -> None:
    from transformers import GenerationConfig

    other = shutil.copytree(folders["opt"], tmp_path / "opt")
    config = GenerationConfig.from_pretrained(other)
    config.repetition_penalty, config.no_repeat_ngram_size, config.min_new_tokens = 3.0, 1, 8
    config.save_pretrained(other)
    some = looks(10)
    wanted = texts(made(folders["opt"], Context(images)).complete(some))
    assert texts(made(other, Context(images)).complete(some)) == wanted


def test_replies_are_cached_by_image_text_model_precision_and_decoding(
    folders: dict[str, Path], images: Path, tmp_path: Path, encoded: Counter[str]
) -> None:
    cache = ReplyCache(tmp_path / "replies.cache")
    context = Context(images, cache)
    some = looks(10)
    wanted = made(folders["t5"], context).complete(some)
    assert encoded
    encoded.clear()
    again = made(folders["t5"], context)
    assert again.complete(some) == wanted
    assert not encoded
    assert "_model" not in vars(again)  # not even the model was needed
    for other in ({"beams": 1}, {"precision": "bf16"}, {"max_tokens": 3}, {"length_penalty": 0.5}):
        encoded.clear()
        made(folders["t5"], context, **other).complete(some[:1])
        assert encoded, other
    encoded.clear()
    made(folders["opt"], context).complete(some[:1])
    assert encoded
    cache.close()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "processor_config.json").unlink(), "image processor cannot be loaded"),
        (lambda folder: (folder / "config.json").unlink(), "there is no config.json"),
        (lambda folder: [file.unlink() for file in folder.glob("tokenizer*")], "tokenizer cannot be loaded"),
    ],
)
def test_a_folder_that_lacks_something_is_refused_at_once(
    folders: dict[str, Path], tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    folder = shutil.copytree(folders["t5"], tmp_path / "t5")
    spoil(folder)
    with pytest.raises(InputError, match=told):
        made(folder, Context())


def test_4_bit_of_sizes_that_cannot_be_packed_is_refused(folders: dict[str, Path]) -> None:
    from bitsandbytes.functional import has_avx512bf16

    model = made(folders["built-in"], Context(), precision="4bit")
    if not has_avx512bf16():
        assert model._model is not None
        return
    with pytest.raises(InputError, match="bitsandbytes' 4-bit on this CPU does not take the sizes of vision_model"):
        model._model  # noqa: B018


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(InputError, match="is a clip, and no BLIP-2"):
        made(checkpoints()["clip"], Context())


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, 30, seed=7)
    return folder


def right(model: Blip2Model, folder: Path) -> float:
    """Share of right answers to what people asked about the built-in scenes."""
    asked = [(dialog.image, turn) for dialog in Targets(folder / "targets.json") for turn in dialog.said]
    said = model.complete([Look(image, f"Question: {turn.question} Short answer:") for image, turn in asked])
    pairs = zip(said, asked, strict=True)
    return sum(each.text == heard(turn.answer) for each, (_, turn) in pairs) / len(asked)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "8bit"])
def test_the_built_in_model_stays_as_right_as_its_card_says(
    folders: dict[str, Path], scenes: Path, precision: str
) -> None:
    assert right(made(folders["built-in"], Context(scenes), precision=precision), scenes) >= 0.99


@pytest.mark.parametrize("language", ["t5", "opt"])
def test_4_bit_loads_and_answers(folders: dict[str, Path], images: Path, language: str) -> None:
    # bitsandbytes' 4-bit wants widths of whole blocks of 64, which the built-in model does not have.
    model = made(folders[language], Context(images), precision="4bit")
    assert all(texts(model.complete(looks(6))))


def test_an_answer_has_as_many_tokens_as_are_asked_for_at_least(folders: dict[str, Path], scenes: Path) -> None:
    asked = [Look(f"images/7-00000{number}.png", "Question: is there a star? Short answer:") for number in range(9)]
    (short,) = {each.tokens_out for each in made(folders["built-in"], Context(scenes)).complete(asked)}
    assert short == 2  # a word and the end
    longer = made(folders["built-in"], Context(scenes), min_tokens=4).complete(asked)
    assert all((each.tokens_out or 0) >= 4 for each in longer)


def test_8_bit_is_bitsandbytes_and_keeps_what_must_stay_precise(folders: dict[str, Path]) -> None:
    import torch
    from bitsandbytes.nn import Linear8bitLt

    model = made(folders["built-in"], Context(), precision="8bit")._model
    plain = made(folders["built-in"], Context())._model
    quantized = {name for name, module in model.named_modules() if isinstance(module, Linear8bitLt)}
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    kept = linear - quantized
    assert {name for name in linear if name.startswith("language_model")} - quantized == {
        name for name in linear if name.endswith((".wo", "lm_head"))
    }
    assert all(name.startswith(("qformer", "language_model")) for name in kept)
    assert model.get_memory_footprint() < 0.6 * plain.get_memory_footprint()
