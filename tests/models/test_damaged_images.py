"""Images that are none, damaged or huge: refused before they cost anything, by nothing worse than an ImageError."""

from __future__ import annotations

import random
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.image_files import chunk, header, picture
from PIL import Image, ImageFile

from chatir.storage import image_folder as images
from chatir.storage.image_folder import FORMATS, MAX_PIXELS, ImageError, ImageFolder

Show = Callable[[bytes], Image.Image]


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Opens a file's content as an image."""

    def show(content: bytes) -> Image.Image:
        (tmp_path / "a").write_bytes(content)
        return ImageFolder(tmp_path).open("a")

    return show


def refused(show: Show, content: bytes) -> tuple[str, str]:
    """The kind of error that opening raises, and what it says after the image's name."""
    with pytest.raises(ImageError) as error:
        show(content)
    assert str(error.value).startswith("a: ")
    return error.value.kind, str(error.value).removeprefix("a: ")


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: ImageFile.ImageFile) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)


def test_as_many_pixels_as_are_allowed_are_fine(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 12 * 9)
    assert show(picture()).size == (12, 9)
    monkeypatch.setattr(images, "MAX_PIXELS", 12 * 9 - 1)
    assert refused(show, picture()) == ("refused_image", "has 12 x 9 pixels, more than 107")


def test_the_limit_is_8000_by_8000_and_known_before_decoding(show: Show, no_decoding: None) -> None:
    assert MAX_PIXELS == 8000 * 8000
    assert refused(show, header(8000, 8000) + chunk(b"IDAT", b"")) == ("broken_image", "is damaged: it is decoded")
    assert refused(show, header(8000, 8001) + chunk(b"IDAT", b"")) == (
        "refused_image",
        "has 8000 x 8001 pixels, more than 64,000,000",
    )


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(10_000, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1)])
def test_a_picture_that_claims_to_be_huge_is_refused_undecoded(
    show: Show, no_decoding: None, size: tuple[int, int]
) -> None:
    kind, told = refused(show, header(*size) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))
    assert kind == "refused_image"
    assert "pixels" in told


def test_texts_in_a_picture_are_not_unpacked_without_limit(show: Show) -> None:
    bomb = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**24), 1))
    whole = picture()
    end = len(header(1, 1))
    assert refused(show, whole[:end] + bomb + whole[end:])[0] == "broken_image"


def test_refusing_a_huge_picture_prints_nothing(tmp_path: Path) -> None:
    for side in (8001, 10_000, 20_000):  # Pillow itself is silent, warns, and raises
        (tmp_path / f"{side}.png").write_bytes(header(side, side) + chunk(b"IDAT", b""))
    script = """
import sys
from pathlib import Path
from chatir.storage.image_folder import ImageError, ImageFolder
for side in (8001, 10_000, 20_000):
    try:
        ImageFolder(Path(sys.argv[1])).open(f"{side}.png")
    except ImageError as error:
        print(error.kind)
"""
    command = [sys.executable, "-W", "default", "-c", script, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout.split(), done.stderr) == (["refused_image"] * 3, "")


STRANGERS = {
    "empty": b"",
    "text": b"a cat on a mat\n" * 50,
    "html": b"<!doctype html><html>sign in<svg/></html>",
    "a film": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(99),
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    "zip": b"PK\x03\x04" + bytes(26),
    "a signature only": picture()[:8],
    **{f"{size} random bytes": random.Random(size).randbytes(size) for size in (1, 10, 1000, 100_000)},
}


@pytest.mark.parametrize("content", STRANGERS.values(), ids=STRANGERS)
def test_what_is_no_image_is_told_so(show: Show, content: bytes) -> None:
    assert refused(show, content) == ("broken_image", "is not an image")


def _container(*brands: bytes) -> bytes:
    """The beginning of an ISO container of these brands, the major one first."""
    box = b"ftyp" + brands[0] + bytes(4) + b"".join(brands)
    return (4 + len(box)).to_bytes(4) + box + bytes(99)


NAMED = {
    "HEIC": ("HEIC", _container(b"heic", b"mif1", b"heic")),
    "HEIC by what goes with it": ("HEIC", _container(b"mif1", b"mif1", b"heic")),
    "JPEG 2000": ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99)),
    "a codestream of JPEG 2000": ("JPEG 2000", b"\xff\x4f\xff\x51" + bytes(99)),
    "JPEG XL": ("JPEG XL", b"\xff\x0a" + bytes(99)),
    "PDF": ("PDF", b"%PDF-1.7\n"),
    "SVG": ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'),
    "SVG with a head": ("SVG", b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n<svg width="9"/>'),
}


@pytest.mark.parametrize(("known", "content"), NAMED.values(), ids=NAMED)
def test_an_image_of_a_format_that_is_not_read_is_named_with_the_way_out(
    show: Show, known: str, content: bytes
) -> None:
    told = f"is {known}, which chatir does not read: convert it to JPEG or PNG"
    assert refused(show, content) == ("broken_image", told)


def test_avif_is_named_where_pillow_cannot_read_it(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.features, "check", lambda name: False)
    monkeypatch.setattr(images, "FORMATS", tuple({*images.FORMATS} - {"AVIF"}))
    content = _container(b"mif1", b"mif1", b"avif", b"miaf")
    assert refused(show, content)[1] == "is AVIF, which chatir does not read: convert it to JPEG or PNG"


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_text_that_begins_as_an_image_might_is_a_broken_one(show: Show) -> None:
    for content in (b"P4 is a paper size", b"P1\nis a format", b"BM and others", b"GIF89a", b"II*\0 notes"):
        assert refused(show, content)[0] == "broken_image"


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "BMP", "AVIF"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_half_a_picture_is_a_damaged_one(show: Show, file_format: str, part: float) -> None:
    content = picture(file_format, size=(64, 48))
    kind, told = refused(show, content[: int(part * len(content))])
    assert kind == "broken_image"
    assert told.startswith("is damaged: ") or told == "is not an image"


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    def changed(changes: list[tuple[int, int]], end: int) -> bytes:
        damaged = bytearray(content)
        for place, value in changes:
            damaged[place] = value
        return bytes(damaged[: len(content) - end])

    places = st.integers(0, min(len(content), 200) - 1) | st.integers(0, len(content) - 1)
    changes = st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)
    return st.builds(changed, changes, st.just(0) | st.integers(0, len(content)))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("file_format", FORMATS)
def test_damaged_pictures_raise_an_image_error_at_worst(
    show: Show, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 10**6)  # no minutes on sizes that are allowed
    whole = picture(file_format)

    @given(mutated(whole) | st.binary(max_size=60).map(lambda rest: whole[:16] + rest))
    def damage(content: bytes) -> None:
        try:
            image = show(content)
        except ImageError as error:
            told = (error.kind, str(error)[:3])
            if told not in (("broken_image", "a: "), ("refused_image", "a: ")):
                raise
        else:
            assert image.mode == "RGB"
            assert 0 < image.width * image.height == len(image.tobytes()) // 3 <= 10**6

    damage()
