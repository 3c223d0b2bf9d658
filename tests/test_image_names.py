"""Names of images: which are refused, which mean the same image, and the file that each means."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatir.storage.image_names import dialog_key, image_file, image_key, image_problem, normalised

NFC, NFD = "caf\u00e9", "cafe\u0301"
SCREENSHOT = "Screenshot 2026-02-03 at 4.05.06\u202fPM.png"

FINE = [
    "unlabeled2017/000000185565.jpg",
    "a..b/ünï çode.jpg",
    SCREENSHOT,
    "a\u00a0b.png",
    "family \U0001f468\u200d\U0001f469\u200d\U0001f467.jpg",
    "क्\u200cष.jpg",
    "写真\u3000一.jpg",
    "12:30 lunch.jpg",
    "a:b.png",
    "C:a.png",
    "\ue000.png",
    ".hidden/...",
    NFC,
    NFD,
]


@pytest.mark.parametrize("image", FINE, ids=ascii)
def test_spaces_joiners_and_colons_are_parts_of_names(image: str, tmp_path: Path) -> None:
    assert image_problem(image) is None
    path = tmp_path / image
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"here")
    assert image_file(tmp_path, image).read_bytes() == b"here"


CONTROL = "holds a control character or a line break"
ABSOLUTE = "is absolute, but must be relative to the image root"
LEADS_OUT = "leads out of the image root by '..'"


@pytest.mark.parametrize(
    ("image", "told"),
    [
        *((image, "is empty") for image in ("", " ", "\u3000")),
        *((f"a{c}.jpg", CONTROL) for c in "\0\t\n\r\x1b\x7f\x85\x9b\u2028\u2029"),
        ("\ud800.jpg", "holds a lone surrogate, which is no character"),
        *((image, ABSOLUTE) for image in ("/etc/passwd", "//a", "\\a", "\\\\host\\a", "C:\\a.jpg", "c:/a.jpg")),
        *((image, LEADS_OUT) for image in ("..", "../x.jpg", "a/../../x.jpg", "a\\..\\b", "./..")),
    ],
)
def test_an_image_path_stays_below_its_root_and_on_one_line(image: str, told: str) -> None:
    assert image_problem(image) == told


@pytest.mark.parametrize(
    "image",
    ["a/b.png", "./a/b.png", "a//b.png", "a/./b.png", "a\\b.png", ".\\a\\.\\b.png", "a/b.png/", "././/a\\/b.png/."],
)
def test_one_image_has_many_spellings(image: str) -> None:
    assert normalised(image) == image_key(image) == "a/b.png"
    assert dialog_key(image, image) == "a/b.png"
    assert dialog_key("a\\1", image) == "a\\1", "an id is what it is"


def test_forms_of_unicode_mean_one_image_and_cases_do_not() -> None:
    assert image_key(f"x/{NFD}") == image_key(f"x\\{NFC}") == f"x/{NFC}"
    assert normalised(NFD) == NFD
    assert image_key("\ufb01.png") != image_key("fi.png"), "compatibility forms are other names"
    assert image_key("A.png") != image_key("a.png")


paths = st.text(st.sampled_from("ab./\\: é\u0301\u202f"), max_size=12)


@given(paths)
@example("./a:/b")
def test_a_key_is_its_own_key_and_a_name_without_problem_stays_one(image: str) -> None:
    key = image_key(image)
    assert image_key(key) == key
    if key.strip() and image_problem(image) is None:
        assert image_problem(key) is None


def test_the_file_that_exists_is_found_by_exact_name_first(tmp_path: Path) -> None:
    for form in (NFC, NFD):
        (tmp_path / form).write_text(form)
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("the file system tells no forms")
    for form in (NFC, NFD):
        assert image_file(tmp_path, form).read_text() == form


@pytest.mark.parametrize(("listed", "there"), [(NFC, NFD), (NFD, NFC)])
def test_the_file_is_found_though_list_and_folder_differ_in_form(tmp_path: Path, listed: str, there: str) -> None:
    # Each part on its own: a folder made here, say, and files in it from an archive made elsewhere.
    for folder in (listed, there):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / listed / there).write_text("here")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / there).write_text("here")
    for image in (f"{listed}/{listed}", f"x/{listed}", f".\\x/{listed}"):
        assert image_file(tmp_path, image).read_text() == "here"
    assert not image_file(tmp_path, f"{listed}/other").exists()


def test_a_hangul_name_is_found_in_either_form(tmp_path: Path) -> None:
    (tmp_path / unicodedata.normalize("NFD", "한국.jpg")).write_text("here")
    assert image_file(tmp_path, "한국.jpg").read_text() == "here"
