"""Encoding: unit vectors in order, the same whatever the batch, nothing encoded twice, images of any kind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.image_files import chunk, header
from PIL import Image
from retriever import tiny_encoders

from chatir import Dialog, Round
from chatir.errors import InputError
from chatir.models.builtin import checkpoints
from chatir.plugins import Context, build
from chatir.retriever.retriever import Identity, checked_retriever, load_retriever
from chatir.storage.image_folder import MAX_BYTES

WORDS = ("a", "big", "red", "small", "star", "heart", "circle", "is", "there", "how", "many", "yes", "no", "teal")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoders.clip(tmp_path_factory.mktemp("encoders") / "clip")


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoders.blip(tmp_path_factory.mktemp("encoders") / "blip")


def clip(folder: Path, **options: Any) -> Any:
    return load_retriever("clip", model=str(folder), **options)


def texts(count: int, seed: int = 0) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(count)]


def pictures(folder: Path) -> list[Path]:
    """50 images of odd modes, sizes and formats."""
    chance = np.random.default_rng(0)
    found = []

    def save(image: Image.Image, name: str, **how: Any) -> None:
        image.save(folder / name, **how)
        found.append(folder / name)

    sizes = [(1, 1), (1, 2000), (2000, 1), (3, 3), (3, 40), (40, 3), (31, 33)]
    for width, height in sizes:
        levels = Image.fromarray(chance.integers(0, 256, (height, width, 4), dtype=np.uint8), "RGBA")
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
            save(levels.convert(mode), f"{mode}-{width}x{height}.png")
    color = Image.fromarray(chance.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    save(color.convert("CMYK"), "cmyk.jpg")
    save(Image.fromarray(chance.integers(0, 2**16, (20, 30), dtype=np.uint16)), "16-bit.png")
    save(color, "one.gif")
    save(color, "many.gif", save_all=True, append_images=[color.rotate(90), color.rotate(180)])
    save(color, "lossy.webp")
    save(color, "plain.bmp")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(color, "turned.jpg", exif=exif.tobytes())
    save(Image.fromarray(chance.random((20, 30), dtype=np.float32)), "float.tiff")
    return found


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("images"))


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def unit(vectors: torch.Tensor) -> bool:
    plain = (vectors.dtype, vectors.device.type, vectors.is_inference()) == (torch.float32, "cpu", False)
    return plain and bool(((vectors.double().norm(dim=1) - 1).abs() < 1e-6).all())


@pytest.fixture
def counted(folder: Path) -> Iterator[tuple[Any, list[torch.Size]]]:
    """A retriever, and the shapes of the token batches that its text encoder gets."""
    retriever = clip(folder, batch_tokens=120)
    shapes: list[torch.Size] = []

    def count(_: Any, args: Any, kwargs: Any) -> None:
        shapes.append(kwargs["input_ids"].shape)

    handle = retriever._model.text_model.register_forward_pre_hook(count, with_kwargs=True)
    yield retriever, shapes
    handle.remove()


def test_no_text_is_encoded_twice(counted: tuple[Any, list[torch.Size]]) -> None:
    retriever, shapes = counted
    some = texts(20)
    vectors = retriever.encode_dialogs(some + some[::-1] + [some[3]] * 10)
    assert sum(rows for rows, _ in shapes) == len(set(some))
    assert all(rows * length <= 120 for rows, length in shapes)
    assert torch.equal(vectors[20:40], vectors[:20].flip(0))
    assert torch.equal(vectors[40:], vectors[3].expand(10, -1))


def test_texts_that_are_the_same_once_cut_are_encoded_once(counted: tuple[Any, list[torch.Size]]) -> None:
    retriever, shapes = counted
    caption = "a star " * tiny_encoders.TOKENS
    dialogs = [Dialog("a.png", caption, (Round("is it big?", "yes"),) * rounds) for rounds in range(5)]
    vectors = retriever.encode_dialogs(dialogs)
    assert (sum(rows for rows, _ in shapes), retriever.truncated(dialogs)) == (1, [True] * 5)
    assert torch.equal(vectors, vectors[0].expand(5, -1))


def test_like_lengths_share_a_batch(counted: tuple[Any, list[torch.Size]]) -> None:
    retriever, shapes = counted
    retriever.encode_dialogs(texts(60))
    lengths = sorted(len(row) for row in retriever._reader.rows(list(dict.fromkeys(texts(60)))))
    assert sum(rows * length for rows, length in shapes) < 1.15 * sum(lengths)


def test_a_dialog_is_its_text(folder: Path) -> None:
    dialog = Dialog("a.png", "a star", (Round("is it big?", "yes"), Round("what color?", "teal")))
    for separator in (", ", " [SEP] "):
        retriever = clip(folder, separator=separator)
        text = separator.join(["a star", "is it big? yes", "what color? teal"])
        assert torch.equal(*retriever.encode_dialogs([dialog, text]))


def test_nothing_is_no_vectors(folder: Path) -> None:
    retriever = clip(folder)
    for vectors in (retriever.encode_dialogs([]), retriever.encode_images([]), retriever.encode_prepared([])):
        assert (vectors.shape, vectors.dtype) == ((0, 32), torch.float32)
    assert retriever.truncated([]) == []


def test_an_empty_text_has_a_vector_too(folder: Path) -> None:
    assert unit(clip(folder).encode_dialogs(["", "a star"]))


def test_it_is_a_retriever_as_the_rest_of_the_house_knows_it(folder: Path) -> None:
    retriever = checked_retriever(clip(folder))
    identity = Identity.of(retriever)
    assert (identity.name, identity.config["precision"]) == ("CLIP", "fp32")
    assert "separator" not in identity.image_config
    assert (retriever.batch_size, retriever.device) == (32, "cuda" if torch.cuda.is_available() else "cpu")


def test_weights_are_loaded_when_they_are_needed_and_once(folder: Path, images: list[Path]) -> None:
    lines: list[str] = []
    retriever = build("retrievers", "clip", {"model": str(folder)}, Context(progress=lines.append))
    assert retriever.truncated(["a star"]) == [False]
    assert lines == []
    before = retriever.encode_dialogs(["a star"])
    retriever.encode_images(images[:2])
    assert lines == ["loading clip (fp32)"]
    retriever.close()
    assert torch.equal(retriever.encode_dialogs(["a star"]), before)
    assert lines == ["loading clip (fp32)"] * 2


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_is_near_and_still_unit(precision: str, folder: Path, images: list[Path]) -> None:
    exact, low = clip(folder), clip(folder, precision=precision)
    for wanted, found in (
        (exact.encode_dialogs(texts(9)), low.encode_dialogs(texts(9))),
        (exact.encode_images(images[-5:]), low.encode_images(images[-5:])),
    ):
        assert unit(found)
        assert 0.99 < (wanted * found).sum(dim=1).min() < 1 - 1e-7


# Images


def test_images_of_any_mode_and_size_have_vectors(folder: Path, blip: Path, images: list[Path]) -> None:
    assert len(images) == 50
    for retriever in (clip(folder), load_retriever("blip", model=str(blip))):
        vectors = retriever.encode_images(images)
        assert unit(vectors)
        assert vectors.shape == (50, 32)


def test_an_image_is_seen_upright(folder: Path, tmp_path: Path) -> None:
    upright = Image.fromarray(np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    seen, turned = clip(folder).encode_images([tmp_path / "upright.png", tmp_path / "turned.png"])
    close(turned, seen)


@pytest.mark.parametrize("size", [(1, 2000), (2000, 1), (7, 701), (703, 7)])
def test_far_ends_of_a_long_image_are_cut_off_unseen(size: tuple[int, int]) -> None:
    retriever = clip(checkpoints()["clip"])
    noise = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    plain = retriever._processor(images=image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(retriever.prepare(image)["pixel_values"], plain, atol=0.05, rtol=0)


def test_threads_may_prepare_images_apart_from_their_encoding(folder: Path, images: list[Path]) -> None:
    retriever = clip(folder)

    def prepare(path: Path) -> Any:
        from chatir.retriever.encoders.two_tower import read_image

        return retriever.prepare(read_image(path))

    with ThreadPoolExecutor(8) as threads:
        prepared = list(threads.map(prepare, images * 4))
    vectors = retriever.encode_prepared(prepared)
    close(vectors, retriever.encode_images(images).repeat(4, 1))


def test_a_broken_image_is_named(folder: Path, images: list[Path], tmp_path: Path) -> None:
    good = images[-1]
    (tmp_path / "text.png").write_text("a star")
    (tmp_path / "half.png").write_bytes((images[0].parent / "16-bit.png").read_bytes()[:600])
    (tmp_path / "huge.png").write_bytes(header(30_000, 30_000) + chunk(b"IDAT", b""))
    with (tmp_path / "heavy.png").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    (tmp_path / "folder.png").mkdir()
    reasons = {
        "text.png": "is not an image", "half.png": "is damaged", "huge.png": "pixels", "heavy.png": "bytes",
        "folder.png": "is no file", "missing.png": "no such file",
    }  # fmt: skip
    retriever = clip(folder)
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason) as told:
            retriever.encode_images([good, tmp_path / name, good])
        assert str(told.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(told.value)


# What cannot be


def with_weights(folder: Path, tmp_path: Path, name: str, value: float) -> Path:
    """The model, with one of its weights set to a value."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path / "clip")
    weights = load_file(tmp_path / "clip" / "model.safetensors")
    weights[name].fill_(value)
    save_file(weights, tmp_path / "clip" / "model.safetensors", {"format": "pt"})
    return tmp_path / "clip"


@pytest.mark.parametrize(("value", "reason"), [(0.0, "zero"), (float("nan"), "not finite"), (3e38, "not finite")])
def test_a_vector_without_direction_is_never_kept(
    folder: Path, tmp_path: Path, images: list[Path], value: float, reason: str
) -> None:
    retriever = clip(with_weights(folder, tmp_path, "text_projection.weight", value))
    with pytest.raises(InputError, match=f"^the text 'a star': its vector is {reason}: "):
        retriever.encode_dialogs(["a star"])
    assert unit(retriever.encode_images(images[:1]))


def test_an_image_without_direction_is_named(folder: Path, tmp_path: Path, images: list[Path]) -> None:
    retriever = clip(with_weights(folder, tmp_path, "visual_projection.weight", 0.0))
    with pytest.raises(InputError, match="its vector is zero") as told:
        retriever.encode_images(images[:3])
    assert str(told.value).startswith(f"{images[0]}: ")
    with pytest.raises(InputError, match="image 1 of 1: its vector is zero"):
        retriever.encode_prepared([retriever.prepare(Image.new("RGB", (9, 9)))])


def test_a_model_that_memory_cannot_hold_is_loaded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []

    def full() -> None:
        loads.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    retriever = clip(folder)
    monkeypatch.setattr(retriever, "_loaded", full)
    with pytest.raises(InputError, match=r"not enough memory to load it \(CUDA out of memory.*\): use another"):
        retriever.encode_dialogs(texts(40))
    assert len(loads) == 1


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "CPU", "cuda:99", "mps"])
def test_a_device_that_is_not_there_is_told(folder: Path, device: str) -> None:
    with pytest.raises(InputError, match=f"^device={device}: (must be|there is no such device)"):
        clip(folder, device=device)


@pytest.mark.parametrize(
    "option", [{"precision": "fp8"}, {"batch_size": 0}, {"batch_tokens": 0}, {"max_tokens": 2}, {"model": ""}]
)
def test_an_option_that_cannot_be_is_named(folder: Path, option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"retriever 'clip': option {next(iter(option))}="):
        load_retriever("clip", **{"model": str(folder), **option})
