"""Images as they are sent: what the server can see of them, and how often they are encoded."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from base64 import b64decode
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from pydantic import ValidationError

from chatir.models.chat.images import READERS, EncodedImage, EncodedImages, ImageOptions
from chatir.storage.image_folder import ImageError, ImageFolder

RED, GREEN, BLUE, WHITE = (220, 20, 20), (20, 200, 20), (20, 20, 220), (255, 255, 255)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are opened, in order; each takes its time."""
    names: list[str] = []
    real = ImageFolder.open

    def opening(folder: ImageFolder, image: str) -> Image.Image:
        names.append(image)
        time.sleep(0.02)
        return real(folder, image)

    monkeypatch.setattr(ImageFolder, "open", opening)
    return names


def encoded(folder: Path, *images: str, **options: Any) -> list[EncodedImage]:
    """Images one after the other, by a store of their own."""
    store = EncodedImages(folder, ImageOptions(**options))

    async def play() -> list[EncodedImage]:
        return [await store.get(image) for image in images]

    return asyncio.run(play())


def bytes_of(image: EncodedImage) -> bytes:
    head, _, content = image.url.partition(",")
    assert head == "data:image/jpeg;base64"
    return b64decode(content, validate=True)


def decoded(image: EncodedImage) -> Image.Image:
    picture = Image.open(BytesIO(bytes_of(image)), formats=["JPEG"])
    picture.load()
    return picture


def close_to(color: Any, wanted: tuple[int, int, int], by: int = 12) -> bool:
    return all(abs(one - other) <= by for one, other in zip(color, wanted, strict=True))


@pytest.mark.parametrize(
    ("size", "side", "sent"),
    [
        ((640, 480), 768, (640, 480)),
        ((2000, 1000), 768, (768, 384)),
        ((1000, 3000), 768, (256, 768)),
        ((5000, 2), 768, (768, 1)),
        ((1, 1), 16, (1, 1)),
        ((17, 16), 16, (16, 15)),
    ],
)
def test_an_image_is_scaled_down_and_never_up(
    tmp_path: Path, size: tuple[int, int], side: int, sent: tuple[int, int]
) -> None:
    Image.new("RGB", size, GREEN).save(tmp_path / "a.png")
    (image,) = encoded(tmp_path, "a.png", max_side=side)
    assert (image.width, image.height) == decoded(image).size == sent
    assert close_to(decoded(image).getpixel((0, 0)), GREEN)
    assert image.sha256 == hashlib.sha256(bytes_of(image)).hexdigest()


def test_what_is_sent_has_the_colors_of_the_image_where_the_image_has_them(tmp_path: Path) -> None:
    picture = Image.new("RGB", (1600, 800), RED)
    ImageDraw.Draw(picture).rectangle((800, 0, 1600, 800), BLUE)
    picture.save(tmp_path / "a.png")
    (image,) = encoded(tmp_path, "a.png", max_side=400)
    shown = decoded(image)
    assert close_to(shown.getpixel((190, 100)), RED)
    assert close_to(shown.getpixel((210, 100)), BLUE)


def test_small_things_keep_their_colors(tmp_path: Path) -> None:
    """As they would not, were colors sent at half the resolution: JPEG's default."""
    picture = Image.new("RGB", (64, 64), RED)
    for column in range(0, 64, 2):
        ImageDraw.Draw(picture).line((column, 0, column, 64), BLUE)
    picture.save(tmp_path / "a.png")
    (image,) = encoded(tmp_path, "a.png")
    assert close_to(decoded(image).getpixel((20, 20)), BLUE, 40)
    assert close_to(decoded(image).getpixel((21, 20)), RED, 40)


def test_a_turned_photo_arrives_upright_and_nothing_but_the_picture_is_sent(tmp_path: Path) -> None:
    picture = Image.new("RGB", (60, 40), RED)
    ImageDraw.Draw(picture).rectangle((0, 0, 29, 40), BLUE)
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn to the right is needed
    exif[271] = "SECRETCAM"
    picture.save(tmp_path / "a.jpg", exif=exif, comment=b"SECRETNOTE", quality=95)
    (image,) = encoded(tmp_path, "a.jpg")
    shown = decoded(image)
    assert shown.size == (40, 60)
    assert close_to(shown.getpixel((20, 5)), BLUE)
    assert close_to(shown.getpixel((20, 55)), RED)
    assert b"SECRET" not in bytes_of(image)
    assert not shown.getexif()


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    ImageDraw.Draw(picture).rectangle((16, 0, 32, 32), (*RED, 255))
    picture.save(tmp_path / "a.png")
    shown = decoded(*encoded(tmp_path, "a.png"))
    assert shown.mode == "RGB"
    assert close_to(shown.getpixel((4, 4)), WHITE)
    assert close_to(shown.getpixel((28, 4)), RED)


def test_quality_and_size_are_what_fixes_an_encoded_image(tmp_path: Path) -> None:
    Image.effect_noise((300, 300), 80).save(tmp_path / "a.png")
    (fine,), (again,) = encoded(tmp_path, "a.png"), encoded(tmp_path, "a.png", kept_images=1)
    (coarse,) = encoded(tmp_path, "a.png", quality=20)
    assert fine == again
    assert len(coarse.url) < len(fine.url) / 2
    base = EncodedImages(None, ImageOptions()).identity
    assert base == {"max_side": 768, "detail": "auto", "quality": 90}
    assert EncodedImages(None, ImageOptions(kept_images=3)).identity == base


@pytest.mark.parametrize(
    "options", [{"max_side": 0}, {"max_side": 10_000}, {"quality": 0}, {"detail": "fine"}, {"kept_images": 0}]
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        ImageOptions(**options)


def test_an_image_is_encoded_once_and_again_after_it_gave_way(tmp_path: Path, opened: list[str]) -> None:
    for name in "abc":
        Image.new("RGB", (8, 8), GREEN).save(tmp_path / f"{name}.png")
    encoded(tmp_path, *(f"{name}.png" for name in "ababacaba"), kept_images=2)
    assert [name[0] for name in opened] == list("abcb"), "c took the place of b, which was used longest ago"


def test_an_image_is_never_encoded_twice_at_the_same_time(tmp_path: Path, opened: list[str]) -> None:
    for name in "ab":
        Image.new("RGB", (8, 8), GREEN).save(tmp_path / f"{name}.png")
    store = EncodedImages(tmp_path, ImageOptions())

    async def play() -> list[EncodedImage]:
        return await asyncio.gather(*(store.get(f"{name}.png") for name in "abababab"))

    images = asyncio.run(play())
    assert sorted(opened) == ["a.png", "b.png"]
    assert len({id(image) for image in images}) == 2


def test_few_images_are_decoded_at_once_and_the_loop_goes_on_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most, ticks = 0, 0, 0
    lock = threading.Lock()

    def opening(folder: ImageFolder, image: str) -> Image.Image:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(ImageFolder, "open", opening)
    store = EncodedImages(tmp_path, ImageOptions())

    async def play() -> None:
        nonlocal ticks
        reading = asyncio.gather(*(store.get(str(number)) for number in range(20)))
        while not reading.done():
            await asyncio.sleep(0.002)
            ticks += 1

    asyncio.run(play())
    assert most == READERS
    assert ticks > 5


def test_an_image_that_cannot_be_shown_is_told_to_all_who_wait_and_not_remembered(
    tmp_path: Path, opened: list[str]
) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    store = EncodedImages(tmp_path, ImageOptions())

    async def play() -> list[Any]:
        return await asyncio.gather(*(store.get("a.png") for _ in range(3)), return_exceptions=True)

    assert [(type(error), error.kind) for error in asyncio.run(play())] == [(ImageError, "broken_image")] * 3
    assert len(opened) == 1
    Image.new("RGB", (8, 8), GREEN).save(tmp_path / "a.png")
    assert all(isinstance(image, EncodedImage) for image in asyncio.run(play())), "mended, it is shown"


def test_one_that_stops_waiting_does_not_take_the_image_from_the_others(tmp_path: Path, opened: list[str]) -> None:
    Image.new("RGB", (8, 8), GREEN).save(tmp_path / "a.png")
    store = EncodedImages(tmp_path, ImageOptions())

    async def impatient() -> EncodedImage:
        first, second = asyncio.create_task(store.get("a.png")), asyncio.create_task(store.get("a.png"))
        await asyncio.sleep(0.005)
        first.cancel()
        return await second

    assert asyncio.run(impatient()).width == 8
    assert len(opened) == 1


def test_a_loop_that_was_stopped_leaves_nothing_behind_for_the_next(tmp_path: Path, opened: list[str]) -> None:
    Image.new("RGB", (8, 8), GREEN).save(tmp_path / "a.png")
    store = EncodedImages(tmp_path, ImageOptions())

    async def stopped(seconds: float) -> None:
        waiting = asyncio.create_task(store.get("a.png"))
        await asyncio.sleep(seconds)
        waiting.cancel()

    for seconds in (0, 0.001, 0.01):
        asyncio.run(stopped(seconds))

    async def patient() -> EncodedImage:
        return await store.get("a.png")

    assert asyncio.run(patient()).width == 8
    before = len(opened)
    Image.new("RGB", (9, 9), GREEN).save(tmp_path / "a.png")
    assert asyncio.run(patient()).width == 8
    store.clear()
    assert asyncio.run(patient()).width == 9
    assert len(opened) == before + 1
