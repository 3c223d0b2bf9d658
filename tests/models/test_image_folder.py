"""Images below one folder: by their paths and links inside it only, and no more bytes than are allowed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from models.image_files import picture

from chatir.storage import image_folder as images
from chatir.storage.image_folder import MAX_BYTES, ImageError, ImageFolder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of images, with one more beside it that is not in it."""
    root = tmp_path / "images"
    (root / "cats").mkdir(parents=True)
    (root / "cats" / "a.png").write_bytes(picture())
    (tmp_path / "images2").mkdir()
    for outside in (tmp_path / "secret.png", tmp_path / "images2" / "secret.png"):
        outside.write_bytes(picture(color="red"))
    return root


@pytest.fixture
def folder(root: Path) -> ImageFolder:
    return ImageFolder(root)


def refused(folder: ImageFolder, image: str) -> tuple[str, str]:
    """The kind of error that opening, reading and hashing raise, and what it says after the image's name."""
    told = set()
    for method in (folder.open, folder.read):
        with pytest.raises(ImageError) as error:
            method(image)
        text = str(error.value)
        assert text.startswith(f"{image}: ")
        told.add((error.value.kind, text.removeprefix(f"{image}: ")))
    assert len(told) == 1
    return told.pop()


def test_an_image_is_read_hashed_and_opened_by_its_path_below_the_folder(
    root: Path, folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    for each in (folder, ImageFolder(Path("images")), ImageFolder(root / "cats" / "..")):
        assert each.read("cats/a.png") == picture()
        assert each.read("cats/a.png") == picture()
        assert each.open("cats/a.png").size == (12, 9)


@pytest.mark.parametrize("image", ["a b#?%.png", "кот.png", "-rf", "a\\b.png", "...", "~", "$HOME", "ab:c.png"])
def test_odd_names_are_names(root: Path, folder: ImageFolder, image: str) -> None:
    (root / image).write_bytes(picture())
    assert folder.open(image).size == (12, 9)


def test_without_a_folder_every_image_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    told = ("missing_image", "the run has no folder of images")
    assert refused(ImageFolder(None), "a.png") == told
    assert refused(ImageFolder(None), "../a.png") == told


@pytest.mark.parametrize(
    ("image", "why"),
    [
        ("../secret.png", "leads out of the image root by '..'"),
        ("..", "leads out of the image root by '..'"),
        ("cats/../a.png", "leads out of the image root by '..'"),
        ("cats/../../secret.png", "leads out of the image root by '..'"),
        ("..\\secret.png", "leads out of the image root by '..'"),
        ("cats\\..\\..\\secret.png", "leads out of the image root by '..'"),
        ("/etc/passwd", "is absolute, but must be relative to the image root"),
        ("//a.png", "is absolute, but must be relative to the image root"),
        ("\\a.png", "is absolute, but must be relative to the image root"),
        ("C:\\a.png", "is absolute, but must be relative to the image root"),
        ("", "is empty"),
        (" ", "is empty"),
        ("a\0.png", "holds a control character or a line break"),
        ("a\n.png", "holds a control character or a line break"),
        ("\udcff.png", "holds a lone surrogate, which is no character"),
    ],
)
def test_a_path_that_is_none_below_the_folder_is_refused(folder: ImageFolder, image: str, why: str) -> None:
    assert refused(folder, image) == ("refused_image", why)


def test_an_absolute_path_is_refused_though_it_lies_in_the_folder(root: Path, folder: ImageFolder) -> None:
    assert refused(folder, str(root / "cats" / "a.png"))[0] == "refused_image"


@pytest.mark.parametrize(
    ("link", "target", "image"),
    [
        ("file.png", "../secret.png", "file.png"),
        ("file.png", "../images2/secret.png", "file.png"),
        ("out", "..", "out/secret.png"),
        ("out", "../images2", "out/secret.png"),
        ("cats/out", "../..", "cats/out/secret.png"),
        ("zero.png", "/dev/zero", "zero.png"),
        ("loose.png", "/dev", "loose.png/zero"),
    ],
)
def test_a_link_out_of_the_folder_is_refused(
    root: Path, folder: ImageFolder, link: str, target: str, image: str
) -> None:
    (root / link).symlink_to(target)
    assert refused(folder, image) == ("refused_image", f"a link leads out of {root}")


def test_a_link_to_a_link_out_of_the_folder_is_refused(root: Path, folder: ImageFolder) -> None:
    (root / "first.png").symlink_to("second.png")
    (root / "second.png").symlink_to(root.parent / "secret.png")
    assert refused(folder, "first.png")[0] == "refused_image"


def test_links_inside_the_folder_are_followed(root: Path, folder: ImageFolder) -> None:
    (root / "relative.png").symlink_to("cats/a.png")
    (root / "absolute.png").symlink_to(root / "cats" / "a.png")
    (root / "tigers").symlink_to("cats")
    (root / "cats" / "around.png").symlink_to("../../images/cats/a.png")
    for image in ("relative.png", "absolute.png", "tigers/a.png", "cats/around.png"):
        assert folder.read(image) == picture()


def test_the_folder_itself_may_be_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to("images")
    (root / "a.png").symlink_to("cats/a.png")
    (root / "out.png").symlink_to("../secret.png")
    linked = ImageFolder(root.parent / "link")
    assert linked.read("cats/a.png") == linked.read("a.png") == picture()
    assert refused(linked, "out.png") == ("refused_image", f"a link leads out of {root.parent / 'link'}")


def test_links_in_a_circle_are_told(root: Path, folder: ImageFolder) -> None:
    (root / "one.png").symlink_to("two.png")
    (root / "two.png").symlink_to("one.png")
    kind, told = refused(folder, "one.png")
    assert kind == "broken_image"
    assert told == "is a link that leads in a circle"


@pytest.mark.parametrize("image", ["b.png", "dogs/a.png", "cats/a.png/inner.png", "loose.png", "CATS/A.PNG"])
def test_what_is_not_there_is_missing(root: Path, folder: ImageFolder, image: str) -> None:
    (root / "loose.png").symlink_to("nothing.png")
    if image == "CATS/A.PNG" and (root / image).exists():
        pytest.skip("the file system tells no case")
    assert refused(folder, image) == ("missing_image", f"is not in {root}")


def test_a_folder_that_is_not_there_has_no_images(tmp_path: Path) -> None:
    assert refused(ImageFolder(tmp_path / "gone"), "a.png") == ("missing_image", f"is not in {tmp_path / 'gone'}")


@pytest.mark.timeout(30)
def test_a_pipe_is_refused_without_waiting_for_a_writer(root: Path, folder: ImageFolder) -> None:
    os.mkfifo(root / "pipe.png")
    (root / "link.png").symlink_to("pipe.png")
    for image in ("pipe.png", "link.png"):
        assert refused(folder, image) == ("refused_image", "is no file")


@pytest.mark.parametrize("image", ["cats", "cats/", ".", "folder.png"])
def test_a_directory_is_no_image(root: Path, folder: ImageFolder, image: str) -> None:
    (root / "folder.png").mkdir()
    before = len([*Path("/dev/fd").iterdir()])
    for _ in range(3):
        assert refused(folder, image) == ("refused_image", "is no file")
    assert len([*Path("/dev/fd").iterdir()]) == before


@pytest.mark.timeout(30)
@pytest.mark.parametrize("device", ["zero", "null"])
def test_a_device_is_refused_though_it_lies_in_the_folder(device: str) -> None:
    if not Path("/dev", device).is_char_device():
        pytest.skip("there is no such device")
    assert refused(ImageFolder(Path("/dev")), device) == ("refused_image", "is no file")


def test_a_socket_is_no_image(root: Path, folder: ImageFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        assert refused(folder, "socket.png") == ("refused_image", "is no file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_a_file_that_may_not_be_read_is_told(root: Path, folder: ImageFolder) -> None:
    (root / "cats" / "a.png").chmod(0)
    assert refused(folder, "cats/a.png") == ("broken_image", "cannot be read: permission denied")


def test_a_name_too_long_for_the_file_system_is_told(folder: ImageFolder) -> None:
    assert refused(folder, "a" * 300) == ("broken_image", "cannot be read: file name too long")


def test_reading_leaves_no_file_open(root: Path, folder: ImageFolder) -> None:
    os.mkfifo(root / "pipe.png")
    before = len([*Path("/dev/fd").iterdir()])
    for image in ("cats/a.png", "pipe.png", "gone.png"):
        for _ in range(3):
            try:
                folder.open(image)
            except ImageError:
                continue
    assert len([*Path("/dev/fd").iterdir()]) == before


@pytest.mark.parametrize("size", [MAX_BYTES + 1, 2**36])
def test_a_file_of_too_many_bytes_is_refused_without_reading_on(root: Path, folder: ImageFolder, size: int) -> None:
    with (root / "big.png").open("wb") as file:
        file.write(picture())
        file.truncate(size)  # the rest is a hole
    assert refused(folder, "big.png") == ("refused_image", "has more than 33,554,432 bytes")


def test_as_many_bytes_as_are_allowed_are_fine(
    root: Path, folder: ImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", len(picture()))
    assert folder.open("cats/a.png").size == (12, 9)
    (root / "longer.png").write_bytes(picture() + b"\0")
    assert refused(folder, "longer.png") == ("refused_image", f"has more than {len(picture())} bytes")
