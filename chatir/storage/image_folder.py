"""Images as models see them: opened below one folder only, within limits, upright, in RGB."""

from __future__ import annotations

import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError, features

from chatir.storage.image_formats import HEAD, UNREAD, image_format
from chatir.storage.image_names import image_file, image_problem

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 64 * 10**6
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""What is tried on a file's bytes; some of Pillow's other formats start programs."""


# Of sizes, about which the limit above is stricter, and of damaged EXIF data, which turn nothing.
warnings.filterwarnings("ignore", module=r"PIL\.")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation that EXIF knows."""


class ImageError(Exception):
    """An image that no model can be shown. kind: one word to count by; the text names the image and says why."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class ImageFolder:
    """The images below a folder, by their relative paths. Nothing outside of it is opened, whatever links say.

    root: the folder, None for a run without images. Methods raise ImageError, of kind `missing_image`, `refused_image`
    (outside of the folder, no file, over `MAX_BYTES` or `MAX_PIXELS`) or `broken_image` (does not decode).
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root

    def read(self, image: str) -> bytes:
        """The bytes of an image file. Raises ImageError."""
        if self._root is None:
            raise ImageError("missing_image", f"{image}: the run has no folder of images")
        if problem := image_problem(image):
            raise ImageError("refused_image", f"{image}: {problem}")
        try:
            path = image_file(self._root, image).resolve(strict=True)
            if not path.is_relative_to(self._root.resolve()):
                raise ImageError("refused_image", f"{image}: a link leads out of {self._root}")
            if not path.is_file():
                raise ImageError("refused_image", f"{image}: is no file")
            with path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            raise ImageError("missing_image", f"{image}: is not in {self._root}") from None
        except RuntimeError:
            raise ImageError("broken_image", f"{image}: is a link that leads in a circle") from None
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise ImageError("broken_image", f"{image}: cannot be read: {told}") from None
        if len(content) > MAX_BYTES:
            raise ImageError("refused_image", f"{image}: has more than {MAX_BYTES:,} bytes")
        return content

    def open(self, image: str) -> Image.Image:
        """An image, decoded: RGB, turned as its EXIF data say, the first frame of several. Raises ImageError."""
        return decoded(image, self.read(image))


def decoded(image: str, content: bytes) -> Image.Image:
    """An image of some name from its file's bytes, as `ImageFolder.open` gives it. Raises ImageError."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as opened:
            width, height = opened.size
            if width * height <= MAX_PIXELS:
                opened.load()
                return _rgb(_upright(opened), opened.format)
    except UnidentifiedImageError:
        raise ImageError("broken_image", f"{image}: {_not_read(content)}") from None
    except Image.DecompressionBombError as error:
        raise ImageError("refused_image", f"{image}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make a decoder raise anything
        raise ImageError("broken_image", f"{image}: is damaged: {error}") from None
    raise ImageError("refused_image", f"{image}: has {width} x {height} pixels, more than {MAX_PIXELS:,}")


def _not_read(content: bytes) -> str:
    """What bytes are that Pillow takes for no image, and the way out if they are one."""
    known = image_format(content[:HEAD])
    if known in UNREAD or (known == "AVIF" and not features.check("avif")):
        return f"is {known}, which chatir does not read: convert it to JPEG or PNG"
    return "is not an image"


def _upright(image: Image.Image) -> Image.Image:
    turn = None
    with suppress(Exception):  # damaged EXIF data turn nothing
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image, file_format: str | None) -> Image.Image:
    """Any mode as RGB. What is transparent shows white; gray levels without a scale of their own are stretched."""
    if image.mode.startswith("I;16") or (image.mode == "I" and file_format == "PPM"):
        image = image.convert("I").point(lambda level: level / 257).convert("L")
    elif image.mode in ("I", "F"):
        image = _stretched(image)
    elif image.has_transparency_data:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen)
    return image.convert("RGB")


def _stretched(image: Image.Image) -> Image.Image:
    """Levels from an image's own darkest to its own brightest, as 0 to 255."""
    import numpy as np

    levels = np.asarray(image, dtype=np.float64)
    known = levels[np.isfinite(levels)]
    darkest, brightest = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
    scale = 255 / (brightest - darkest) if brightest > darkest else 0
    shown = np.nan_to_num(levels, nan=darkest, posinf=brightest, neginf=darkest)
    return Image.fromarray(((shown - darkest) * scale).round().astype(np.uint8))
