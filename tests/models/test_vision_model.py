"""A model that looks at images: each is read and encoded once, however many looks, batches and names it has."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from chatir.dialog import Failure
from chatir.errors import StoppedRunError
from chatir.models.completion import Completion
from chatir.models.local.batches import AHEAD
from chatir.models.local.vision_model import LOSSES, READERS, Look, LookingModel, LostImagesError
from chatir.models.reply_cache import ReplyCache
from chatir.plugins import Context
from chatir.storage.image_folder import ImageFolder, decoded

COLORS = {f"{name}.png": (10 * number, 255 - number, number) for number, name in enumerate("abcdefgh")}
BROKEN = {"text.png": "broken_image", "gone.png": "missing_image", "../a.png": "refused_image"}


class Mean(LookingModel):
    """Sees the mean color of an image and tells it after the text; so many looks and images fit into its memory."""

    backend = "colors"

    def __init__(self, context: Context, *, fits: int = 99, beams: int = 1, **options: int) -> None:
        self.beams, self.fits = beams, fits
        self.given_up: list[str] = []
        self.encoded: list[list[str]] = []
        self.batches: list[list[str]] = []
        self.losses = 0
        super().__init__(context, **{"batch_size": 4, "kept_images": 8} | options)

    @property
    def identity(self) -> dict[str, Any]:
        return {"model": {"id": "org/colors"}, "beams": self.beams}

    def _length(self, text: str) -> int:
        return len(text)

    def _overflow(self, text: str) -> str | None:
        return f"{len(text)} letters are too many" if len(text) > 40 else None

    def _prepared(self, picture: Image.Image) -> Any:
        return picture.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))

    def _encoded(self, prepared: Mapping[str, Any]) -> list[Any]:
        self.encoded.append([*prepared])
        if len(prepared) > self.fits:
            raise MemoryError
        return [*prepared.values()]

    def _given_up(self, image: str) -> None:
        self.given_up.append(image)

    def _completed(self, looks: Sequence[Look], encodings: Sequence[Any]) -> list[Completion]:
        self.batches.append([look.text for look in looks])
        if self.losses:
            self.losses -= 1
            raise LostImagesError
        pairs = zip(looks, encodings, strict=True)
        return [Completion(f"{look.text} {seen}", tokens_in=len(look.text)) for look, seen in pairs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    for name, color in COLORS.items():
        Image.new("RGB", (6, 4), color).save(root / name)
    (root / "text.png").write_text("no image")
    return root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image's file is read; to decode it, or to tell its content."""
    seen: Counter[str] = Counter()
    read = ImageFolder.read

    def watched(self: ImageFolder, image: str) -> bytes:
        seen[image] += 1
        return read(self, image)

    monkeypatch.setattr(ImageFolder, "read", watched)
    return seen


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image is decoded."""
    seen: Counter[str] = Counter()

    def watched(image: str, content: bytes) -> Image.Image:
        seen[image] += 1
        return decoded(image, content)

    monkeypatch.setattr("chatir.models.local.vision_model.decoded", watched)
    return seen


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ReplyCache]:
    with closing(ReplyCache(tmp_path / "replies.cache")) as made:
        yield made


def made(folder: Path, **options: Any) -> Mean:
    return Mean(Context(images=folder), **options)


def told(asked: Sequence[Look]) -> list[str]:
    return [f"{look.text} {COLORS[look.image]}" for look in asked]


def texts(completions: Sequence[Completion]) -> list[str | None]:
    return [completion.text for completion in completions]


def looks(images: str, text: str = "color?") -> list[Look]:
    """One look at each image, named by one letter."""
    return [Look(f"{name}.png", text) for name in images]


@given(
    asked=st.lists(st.builds(Look, st.sampled_from(sorted(COLORS)), st.text("ab ", max_size=9)), max_size=20),
    batch_size=st.integers(1, 9),
    kept_images=st.integers(1, 9),
    fits=st.just(9) | st.integers(1, 9),
)
def test_every_look_gets_its_own_answer_whatever_the_batches_and_the_room(
    folder: Path, asked: list[Look], batch_size: int, kept_images: int, fits: int
) -> None:
    model = made(folder, batch_size=batch_size, kept_images=kept_images, fits=fits)
    for _ in range(2):
        assert texts(model.complete(asked)) == told(asked)
    assert len(model._seen) <= max(kept_images, batch_size)


def test_an_image_is_read_and_encoded_once_for_ten_questions(
    folder: Path, reads: Counter[str], opened: Counter[str]
) -> None:
    model = made(folder)
    asked = [Look(image, f"question {n}?") for n in range(10) for image in ("a.png", "b.png")]
    assert texts(model.complete(asked[:10])) == told(asked[:10])
    assert texts(model.complete(asked[10:])) == told(asked[10:])
    assert opened == reads == {"a.png": 1, "b.png": 1}
    assert model.encoded == [["a.png", "b.png"]]


def test_only_what_is_missing_is_encoded_and_once_a_batch(folder: Path) -> None:
    model = made(folder)
    model.complete(looks("ab"))
    model.complete(looks("acdc"))
    assert model.encoded == [["a.png", "b.png"], ["c.png", "d.png"]]


def test_an_image_is_encoded_again_after_it_gave_way_and_only_then(folder: Path, opened: Counter[str]) -> None:
    model = made(folder, batch_size=1, kept_images=2)
    for name in "abacab":  # c takes the place of b, which was used longest ago
        assert texts(model.complete(looks(name))) == told(looks(name))
    assert model.encoded == [["a.png"], ["b.png"], ["c.png"], ["b.png"]]
    assert opened == {"a.png": 1, "b.png": 2, "c.png": 1}


@pytest.mark.parametrize(("kept_images", "batch_size", "kept"), [(5, 2, 5), (3, 3, 3), (1, 4, 4)])
def test_so_many_images_are_kept_and_never_less_than_a_batch(
    folder: Path, kept_images: int, batch_size: int, kept: int
) -> None:
    model = made(folder, batch_size=batch_size, kept_images=kept_images)
    for images in ("abcdefgh", "hgfedcba", "aceg"):
        assert texts(model.complete(looks(images))) == told(looks(images))
        assert len(model._seen) == kept


def test_images_are_read_by_several_threads_and_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, together, lock = decoded, threading.Barrier(READERS, timeout=20), threading.Lock()
    reading, most = 0, 0

    def watched(image: str, content: bytes) -> Image.Image:
        nonlocal reading, most
        with lock:
            reading += 1
            most = max(most, reading)
        together.wait()
        time.sleep(0.05)  # one thread too many would come in meanwhile
        with lock:
            reading -= 1
        return decode(image, content)

    monkeypatch.setattr("chatir.models.local.vision_model.decoded", watched)
    asked = looks("abcdefgh"[: 2 * READERS])
    assert texts(made(folder, batch_size=8).complete(asked)) == told(asked)
    assert most == READERS


def test_no_looks_do_nothing(folder: Path, opened: Counter[str]) -> None:
    model = made(folder)
    assert model.complete([]) == []
    assert (opened, model.encoded, model.batches) == ({}, [], [])


def test_looks_share_batches_by_length_longest_first(folder: Path) -> None:
    model = made(folder, batch_size=3)
    assert model.batch_size == 3 * AHEAD
    asked = [Look("a.png", "x" * length) for length in random.Random(0).sample(range(1, 30), 8)]
    assert texts(model.complete(asked)) == told(asked)
    assert [len(batch) for batch in model.batches] == [3, 3, 2]
    lengths = [len(text) for batch in model.batches for text in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_where_memory_ends_fewer_images_and_looks_are_shown_at_once(folder: Path) -> None:
    lines: list[str] = []
    model = Mean(Context(images=folder, progress=lines.append), batch_size=8, fits=3)
    assert texts(model.complete(looks("abcdefgh"))) == told(looks("abcdefgh"))
    assert [len(batch) for batch in model.encoded] == [8, 8, 4, 4, 2, 2, 2, 2]
    assert lines == [f"org/colors: out of memory; {size} at once for now" for size in (4, 2)]


def test_a_model_that_has_no_memory_for_its_first_image_stops_the_run(folder: Path) -> None:
    with pytest.raises(StoppedRunError, match=r"^org/colors: out of memory even with one at once"):
        made(folder, fits=0).complete(looks("a"))


def test_a_text_too_long_fails_alone_and_its_image_is_not_opened(folder: Path, opened: Counter[str]) -> None:
    model = made(folder)
    asked = [Look("a.png", "x" * 40), Look("b.png", "x" * 41), Look("a.png", "x")]
    replies = model.complete(asked)
    assert replies[1] == Completion(None, Failure("context_overflow", "41 letters are too many"))
    assert texts(replies) == [told(asked[:1])[0], None, told(asked[2:])[0]]
    assert opened == {"a.png": 1}


@pytest.mark.parametrize("cached", [True, False])
def test_an_image_that_cannot_be_shown_fails_its_looks_only(folder: Path, cache: ReplyCache, cached: bool) -> None:
    model = Mean(Context(images=folder, cache=cache if cached else None), batch_size=3)
    names = ["a.png", "text.png", "b.png", "gone.png", "text.png", "../a.png", "c.png", "gone.png"]
    for _ in range(2):
        replies = model.complete([Look(name, "color?") for name in names])
        for name, reply in zip(names, replies, strict=True):
            if name in BROKEN:
                assert reply.failure is not None
                assert reply.failure.kind == BROKEN[name]
                assert reply.failure.message.startswith(f"{name}: ")
            else:
                assert reply.text == f"color? {COLORS[name]}"
    assert sum(each.replies for each in cache.models()) == 3 * cached


def test_a_batch_without_any_image_is_not_put_to_the_model(folder: Path) -> None:
    model = made(folder)
    assert texts(model.complete([Look(name, "color?") for name in BROKEN])) == [None] * 3
    assert model.encoded == model.batches == []
    assert texts(Mean(Context()).complete(looks("a"))) == [None], "a run without images"


def test_an_image_that_comes_later_is_seen(tmp_path: Path, cache: ReplyCache) -> None:
    model = Mean(Context(images=tmp_path, cache=cache))
    assert texts(model.complete(looks("a"))) == [None]
    Image.new("RGB", (6, 4), COLORS["a.png"]).save(tmp_path / "a.png")
    assert texts(model.complete(looks("a"))) == told(looks("a"))


def test_lost_images_are_shown_again_and_the_batch_asked_again(folder: Path, opened: Counter[str]) -> None:
    model = made(folder)
    model.losses = LOSSES - 1
    asked = [*looks("ab"), Look("text.png", "color?"), *looks("c")]
    assert texts(model.complete(asked)) == [*told(looks("ab")), None, *told(looks("c"))]
    assert model.encoded == [["a.png", "b.png", "c.png"]] * LOSSES
    assert opened["a.png"] == LOSSES
    model.losses = LOSSES - 1
    assert texts(model.complete(looks("ab"))) == told(looks("ab")), "each batch may lose as many"


def test_a_model_that_loses_its_images_every_time_is_an_error(folder: Path) -> None:
    model = made(folder)
    model.losses = 99
    with pytest.raises(LostImagesError):
        model.complete(looks("ab"))
    assert len(model.batches) == LOSSES


def test_a_call_that_is_known_opens_and_encodes_nothing_and_reads_each_image_once(
    folder: Path, cache: ReplyCache, opened: Counter[str], reads: Counter[str]
) -> None:
    asked = [Look(image, f"question {n}?") for n in range(5) for image in ("a.png", "b.png")]
    first = Mean(Context(images=folder, cache=cache)).complete(asked)
    opened.clear()
    reads.clear()
    model = Mean(Context(images=folder, cache=cache))
    assert model.complete(asked) == model.complete(asked) == first
    assert texts(first) == told(asked)
    assert (opened, model.encoded, model.batches) == ({}, [], [])
    assert reads == {"a.png": 1, "b.png": 1}


def test_only_what_is_not_known_is_asked_and_shown(folder: Path, cache: ReplyCache) -> None:
    Mean(Context(images=folder, cache=cache)).complete(looks("ac"))
    model = Mean(Context(images=folder, cache=cache))
    assert texts(model.complete(looks("abcd"))) == told(looks("abcd"))
    assert model.encoded == [["b.png", "d.png"]]


def test_an_image_is_known_by_its_content_and_not_by_its_name(folder: Path, cache: ReplyCache, tmp_path: Path) -> None:
    Mean(Context(images=folder, cache=cache)).complete(looks("ab"))
    (tmp_path / "b.png").write_bytes((folder / "a.png").read_bytes())
    (tmp_path / "a.png").write_bytes((folder / "c.png").read_bytes())
    model = Mean(Context(images=tmp_path, cache=cache))
    assert texts(model.complete(looks("ab"))) == [told(looks("c"))[0], told(looks("a"))[0]]
    assert model.encoded == [["a.png"]], "b.png is what a.png was"


def test_another_text_model_or_backend_is_another_look(
    folder: Path, cache: ReplyCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(images=folder, cache=cache)
    Mean(context).complete(looks("a"))
    others = [Mean(context), Mean(context, beams=2), Mean(context)]
    others[0].complete(looks("a", "color? "))
    others[1].complete(looks("a"))
    monkeypatch.setattr(others[2], "backend", "other")
    others[2].complete(looks("a"))
    assert [len(model.batches) for model in others] == [1, 1, 1]
    assert [each.backend for each in cache.models()] == ["colors", "other"]


def test_without_a_cache_no_image_is_read_for_its_hash(folder: Path, reads: Counter[str]) -> None:
    model = made(folder, kept_images=1, batch_size=1)
    model.complete(looks("aba"))
    assert reads.total() == sum(map(len, model.encoded)) == 3
