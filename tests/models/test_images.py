"""Images as models see them: every mode, format and orientation becomes the RGB that a person would see."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.Image import Transpose

from chatir.storage.image_folder import FORMATS, ImageError, ImageFolder

Array = np.ndarray[Any, np.dtype[np.uint8]]
Show = Callable[[bytes], Array]


def quarters(*corners: Any, size: tuple[int, int] = (32, 48)) -> Array:
    """Four plain fields, top left to bottom right, which no turning and no mirroring leaves as they were."""
    fields = np.array(corners, dtype=np.uint8)
    rows, columns = np.indices(size)
    return fields[2 * (rows >= size[0] // 2) + (columns >= size[1] // 2)]


def gray(levels: Array) -> Array:
    return np.repeat(levels[..., None], 3, axis=2)


COLORS = quarters((255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128))
LEVELS = quarters(0, 90, 200, 255)
ALPHA = quarters(255, 0, 128, 64)
BLACK_AND_WHITE = quarters(0, 255, 255, 255)
PICTURE = Image.fromarray(COLORS)
GRAY = Image.fromarray(LEVELS)


EXACT: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
"""Formats that hold an orientation, and how they are saved with next to no loss."""


def on_white(colors: Array, alpha: Array) -> Array:
    part = alpha[..., None] / 255
    return (colors * part + 255 * (1 - part)).round().astype(np.uint8)


def with_white(colors: Array, *corners: int) -> Array:
    """The fields of some corners white, as where they are transparent."""
    return on_white(colors, quarters(*(0 if corner in corners else 255 for corner in range(4))))


def saved(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, file_format, **EXACT.get(file_format, {}) | options)
    return buffer.getvalue()


def png(bits: int, color: int, pixels: Array, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of a kind that Pillow reads and does not write; pixels: one number a sample, big-endian."""
    height, width = pixels.shape[:2]

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0))
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))
    parts = [head, *(chunk(*each) for each in chunks), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """A file's content as a model is shown it; the file has no ending that would tell its format."""

    def shown(content: bytes) -> Array:
        (tmp_path / "image").write_bytes(content)
        image = ImageFolder(tmp_path).open("image")
        assert image.mode == "RGB"
        return np.asarray(image)

    return shown


def assert_same(shown: Array, expected: Array, tolerance: int = 0) -> None:
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).max() <= tolerance


# Modes


def palette() -> Image.Image:
    """A palette image whose fields are the entries 0 to 3."""
    image = Image.fromarray(quarters(0, 1, 2, 3))
    image.putpalette([*(255, 0, 0), *(0, 255, 0), *(0, 0, 255), *(128, 128, 128)])
    assert image.mode == "P"
    return image


def palette_and_alpha() -> Image.Image:
    bands = palette().convert("PA")
    bands.putalpha(Image.fromarray(ALPHA))
    assert bands.mode == "PA"
    return bands


def lab() -> Image.Image:
    """The fields of PICTURE in CIE L*a*b* of D50, as bytes: L* of 0 to 100 as 0 to 255, a* and b* signed."""
    red, green, blue, middle = (54.3, 80.8, 69.9), (87.8, -79.3, 81.0), (29.6, 68.3, -112.0), (53.6, 0, 0)
    fields = [(round(light * 2.55), round(a) % 256, round(b) % 256) for light, a, b in (red, green, blue, middle)]
    return Image.frombytes("LAB", PICTURE.size, quarters(*fields).tobytes())


def bands(*each: Array) -> Image.Image:
    return Image.fromarray(np.dstack(each))


WIDE = LEVELS.astype(np.uint16) * 257
DEEP = COLORS.astype(np.uint16) * 257
FAR = LEVELS.astype(np.float32) * 1000 - 70_000
RGB_ON_WHITE, GRAY_ON_WHITE = on_white(COLORS, ALPHA), on_white(gray(LEVELS), ALPHA)
MODES: dict[str, tuple[str, Callable[[], bytes], Array, int]] = {
    # What it is: the mode that Pillow opens it in, the file, what is seen, how far a level may be off.
    "1 PNG": ("1", lambda: saved(Image.fromarray(BLACK_AND_WHITE > 0), "PNG"), gray(BLACK_AND_WHITE), 0),
    "1 TIFF": ("1", lambda: saved(Image.fromarray(BLACK_AND_WHITE > 0), "TIFF"), gray(BLACK_AND_WHITE), 0),
    "L PNG": ("L", lambda: saved(GRAY, "PNG"), gray(LEVELS), 0),
    "L JPEG": ("L", lambda: saved(GRAY, "JPEG"), gray(LEVELS), 2),
    "LA PNG": ("LA", lambda: saved(bands(LEVELS, ALPHA), "PNG"), GRAY_ON_WHITE, 1),
    "LA TIFF": ("LA", lambda: saved(bands(LEVELS, ALPHA), "TIFF"), GRAY_ON_WHITE, 1),
    "P PNG": ("P", lambda: saved(palette(), "PNG"), COLORS, 0),
    "P BMP": ("P", lambda: saved(palette(), "BMP"), COLORS, 0),
    "P PNG, one entry transparent": ("P", lambda: saved(palette(), "PNG", transparency=1), with_white(COLORS, 1), 0),
    "P GIF, one entry transparent": ("P", lambda: saved(palette(), "GIF", transparency=2), with_white(COLORS, 2), 0),
    "P PNG, entries with alpha": (
        "P", lambda: saved(palette(), "PNG", transparency=bytes([255, 0, 128, 64])), RGB_ON_WHITE, 1),
    "PA TIFF": ("PA", lambda: saved(palette_and_alpha(), "TIFF"), RGB_ON_WHITE, 1),
    "RGB PNG": ("RGB", lambda: saved(PICTURE, "PNG"), COLORS, 0),
    "RGB JPEG": ("RGB", lambda: saved(PICTURE, "JPEG"), COLORS, 3),
    "RGBA PNG": ("RGBA", lambda: saved(bands(COLORS, ALPHA), "PNG"), RGB_ON_WHITE, 1),
    "RGBA TIFF": ("RGBA", lambda: saved(bands(COLORS, ALPHA), "TIFF"), RGB_ON_WHITE, 1),
    "RGBA WebP": ("RGBA", lambda: saved(bands(COLORS, ALPHA), "WEBP"), RGB_ON_WHITE, 1),
    "RGBA AVIF": ("RGBA", lambda: saved(bands(COLORS, ALPHA), "AVIF"), RGB_ON_WHITE, 4),
    "CMYK JPEG": ("CMYK", lambda: saved(PICTURE.convert("CMYK"), "JPEG"), COLORS, 4),
    "CMYK TIFF": ("CMYK", lambda: saved(PICTURE.convert("CMYK"), "TIFF"), COLORS, 1),
    "YCbCr TIFF": ("YCbCr", lambda: saved(PICTURE.convert("YCbCr"), "TIFF"), COLORS, 2),
    "LAB TIFF": ("LAB", lambda: saved(lab(), "TIFF"), COLORS, 24),
    "I;16 PNG": ("I;16", lambda: saved(Image.fromarray(WIDE), "PNG"), gray(LEVELS), 1),
    "I;16 TIFF": ("I;16", lambda: saved(Image.fromarray(WIDE), "TIFF"), gray(LEVELS), 1),
    "I;16B TIFF": ("I;16B", lambda: saved(Image.fromarray(WIDE.astype(">u2")), "TIFF"), gray(LEVELS), 1),
    "I;16 PNG, dark": ("I;16", lambda: saved(Image.fromarray(WIDE // 4), "PNG"), gray(LEVELS // 4), 1),
    "I TIFF": ("I", lambda: saved(Image.fromarray(FAR.astype(np.int32)), "TIFF"), gray(LEVELS), 0),
    "F TIFF": ("F", lambda: saved(Image.fromarray(FAR), "TIFF"), gray(LEVELS), 0),
    "F TIFF, small": ("F", lambda: saved(Image.fromarray(FAR / np.float32(1e9)), "TIFF"), gray(LEVELS), 0),
    "RGB PNG of 16 bits": ("RGB", lambda: png(16, 2, DEEP.astype(">u2")), COLORS, 0),
    "1 PNG, one level transparent": (
        "1", lambda: saved(Image.fromarray(BLACK_AND_WHITE > 0), "PNG", transparency=0),
        np.full_like(COLORS, 255), 0),
    "L PNG, one level transparent": ("L", lambda: saved(GRAY, "PNG", transparency=90), with_white(gray(LEVELS), 1), 0),
    "RGB PNG, one color transparent": (
        "RGB", lambda: saved(PICTURE, "PNG", transparency=(0, 0, 255)), with_white(COLORS, 2), 0),
}  # fmt: skip


@pytest.mark.parametrize("name", MODES)
def test_any_mode_becomes_the_rgb_that_a_person_would_see(show: Show, name: str) -> None:
    mode, content, expected, tolerance = MODES[name]
    file = content()
    assert Image.open(BytesIO(file)).mode == mode
    assert_same(show(file), expected, tolerance)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_one_level_everywhere_is_one_level_everywhere(show: Show, kind: type) -> None:
    shown = show(saved(Image.fromarray(np.full((32, 48), 7000, dtype=kind)), "TIFF"))
    assert_same(shown, np.broadcast_to(shown[0, 0], (32, 48, 3)))


def test_levels_that_are_no_number_hide_no_others(show: Show) -> None:
    levels = np.array([[np.nan, np.inf, -np.inf, 100, 200]], dtype=np.float32)
    shown = show(saved(Image.fromarray(levels), "TIFF"))[0, :, 0]
    assert shown.tolist() == [0, 255, 0, 0, 255]


def test_a_pgm_of_16_bits_keeps_its_scale(show: Show) -> None:
    levels = np.array([100 * 257, 200 * 257], ">u2").tobytes()
    assert show(b"P5 2 1 65535\n" + levels)[0, :, 0].tolist() == [100, 200]


# Orientations

STORED = {
    1: None,
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,  # counterclockwise; to be turned clockwise
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", EXACT)
def test_a_picture_is_upright_however_its_camera_was_held(show: Show, file_format: str, orientation: int) -> None:
    method = STORED[orientation]
    stored = PICTURE.transpose(method) if method is not None else PICTURE
    file = saved(stored, file_format, exif=oriented(orientation))
    assert_same(show(file), COLORS, 4)


def test_what_is_transparent_is_so_after_turning(show: Show) -> None:
    for image, options in ((bands(COLORS, ALPHA), {}), (palette(), {"transparency": bytes([255, 0, 128, 64])})):
        file = saved(image.transpose(Transpose.ROTATE_90), "PNG", exif=oriented(6), **options)
        assert_same(show(file), RGB_ON_WHITE, 1)


def with_another_damaged_tag() -> bytes:
    """EXIF data that turn a picture, with a text under the number of what is no text."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a cat"
    return exif.tobytes().replace(b"\x01\x0e", b"\x01\x42", 1)


def test_a_picture_is_turned_though_another_tag_is_damaged(show: Show) -> None:
    assert show(saved(Image.new("RGB", (4, 2)), "JPEG", exif=with_another_damaged_tag())).shape == (4, 2, 3)


def test_damaged_exif_data_print_nothing(tmp_path: Path) -> None:
    content = saved(Image.new("RGB", (4, 2)), "JPEG", exif=with_another_damaged_tag()[:-4])
    (tmp_path / "a").write_bytes(content)
    code = "from pathlib import Path; from chatir.storage import image_folder as i; i.ImageFolder(Path()).open('a')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_data_turn_nothing(show: Show, file_format: str) -> None:
    whole = oriented(6)
    unknown = [oriented(number) for number in (0, 9, 65535)]
    for exif in (*unknown, b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0" + b"\xff" * 40, b"\x01", whole[:-8]):
        assert_same(show(saved(PICTURE, file_format, exif=exif)), COLORS, 3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_exif_data_cut_anywhere_never_lose_the_picture(show: Show) -> None:
    whole, turned = oriented(6), np.rot90(COLORS, -1)
    for size in range(len(whole)):
        shown = show(saved(PICTURE, "PNG", exif=whole[:size]))
        assert np.array_equal(shown, COLORS) or np.array_equal(shown, turned)


# Formats


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_that_is_tried_is_decoded(show: Show, file_format: str) -> None:
    assert_same(show(saved(PICTURE, file_format)), COLORS, 4)


def test_a_jpeg_of_several_pictures_shows_the_first(show: Show) -> None:
    other = Image.new("RGB", PICTURE.size, "yellow")
    assert_same(show(saved(PICTURE, "MPO", save_all=True, append_images=[other], **EXACT["JPEG"])), COLORS, 3)


@pytest.mark.parametrize("file_format", ["EPS", "ICO", "ICNS", "TGA", "PCX", "SGI", "DDS", "QOI"])
def test_other_formats_are_refused_though_pillow_could_read_them(show: Show, file_format: str) -> None:
    assert file_format not in FORMATS
    with pytest.raises(ImageError, match=r"^image: is not an image$") as refused:
        show(saved(PICTURE, file_format))
    assert refused.value.kind == "broken_image"


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG", "AVIF", "TIFF"])
def test_of_several_frames_the_first_is_seen(show: Show, file_format: str) -> None:
    others = [Image.new("RGB", PICTURE.size, color) for color in ("white", "black", "yellow")]
    file = saved(PICTURE, file_format, save_all=True, append_images=others)
    assert getattr(Image.open(BytesIO(file)), "n_frames", 1) == 4
    assert_same(show(file), COLORS, 4)


def test_a_png_whose_animation_leaves_its_own_picture_out_shows_that_picture(show: Show) -> None:
    others = [Image.new("RGB", PICTURE.size, color) for color in ("black", "yellow")]
    assert_same(show(saved(PICTURE, "PNG", save_all=True, append_images=others, default_image=True)), COLORS)


def test_the_first_frame_of_an_animation_with_holes_shows_white_in_them(show: Show) -> None:
    frames = [bands(COLORS, quarters(255, 0, 255, 255)), Image.new("RGBA", PICTURE.size, "yellow")]
    file = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], disposal=2)
    assert_same(show(file), with_white(COLORS, 1))
