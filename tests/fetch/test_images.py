import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from http_source import Served, Source, picture

from chatir.datasets.fetch import FetchError, ImageReport, fetch_images
from chatir.datasets.fetch.images import DEAD_AFTER
from chatir.datasets.fetch.one_image import MAX_BYTES
from chatir.errors import InputError

CAT, DOG = "unlabeled2017/000000000008.jpg", "unlabeled2017/000000000024.jpg"


@pytest.fixture
def images(source: Source) -> Source:
    source.give = {f"/{CAT}": [Served(picture())], f"/{DOG}": [Served(picture("PNG"))]}
    return source


def fetch(source: Source, folder: Path, names: list[str], **options: object) -> ImageReport:
    return fetch_images(names, folder, **({"base_url": source.url, "wait": 0.01, "timeout": 5} | options))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_images_lie_where_targets_name_them(images: Source, tmp_path: Path) -> None:
    told: list[tuple[int, ...]] = []
    report = fetch(images, tmp_path / "images", [CAT, DOG], progress=lambda *counts: told.append(counts))
    assert report == ImageReport(fetched=2, present=0, failed=())
    assert (tmp_path / "images" / CAT).read_bytes() == picture()
    assert (tmp_path / "images" / DOG).read_bytes() == picture("PNG")
    assert files(tmp_path) == [f"images/{CAT}", f"images/{DOG}"]
    assert [counts[:3] for counts in told] == [(0, 2, 0), (1, 2, 0), (2, 2, 0)]
    assert told[-1][3] == len(picture()) + len(picture("PNG"))


def test_what_is_there_is_not_asked_for_again(images: Source, tmp_path: Path) -> None:
    fetch(images, tmp_path, [CAT])
    assert fetch(images, tmp_path, [CAT, DOG]) == ImageReport(1, 1, ())
    assert fetch(images, tmp_path, [CAT, DOG]) == ImageReport(0, 2, ())
    assert images.requests == [f"/{CAT}", f"/{DOG}"]


def test_an_empty_file_is_no_image(images: Source, tmp_path: Path) -> None:
    (tmp_path / CAT).parent.mkdir()
    (tmp_path / CAT).touch()
    assert fetch(images, tmp_path, [CAT]) == ImageReport(1, 0, ())
    assert (tmp_path / CAT).read_bytes() == picture()


def test_an_image_is_asked_for_under_its_plain_path(images: Source, tmp_path: Path) -> None:
    written = [f"./{CAT}", CAT.replace("/", "\\"), DOG.replace("/", "//")]
    assert fetch(images, tmp_path, written) == ImageReport(2, 0, ())
    assert files(tmp_path) == [CAT, DOG]
    assert sorted(images.requests) == [f"/{CAT}", f"/{DOG}"]


def test_an_image_that_is_there_in_another_form_of_unicode_is_not_asked_for(images: Source, tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301.png").write_bytes(picture("PNG"))
    assert fetch(images, tmp_path, ["caf\u00e9.png"]) == ImageReport(0, 1, ())


def test_an_image_named_twice_is_fetched_once(images: Source, tmp_path: Path) -> None:
    assert fetch(images, tmp_path, [CAT, DOG, CAT]) == ImageReport(2, 0, ())
    assert sorted(images.requests) == [f"/{CAT}", f"/{DOG}"]


def test_no_more_images_are_in_flight_than_there_are_workers(source: Source, tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(12)]
    source.give = {f"/{name}": [Served(picture("PNG", (2, 2)), drip=0.0005)] for name in names}
    assert fetch(source, tmp_path, names, workers=3).fetched == 12
    assert source.most_at_once == 3


def test_names_are_quoted_and_addresses_need_no_slash(source: Source, tmp_path: Path) -> None:
    source.give["/data/a%20b%23%3F%25.jpg"] = [Served(picture())]
    assert fetch(source, tmp_path, ["a b#?%.jpg"], base_url=f"{source.url}data").fetched == 1
    assert files(tmp_path) == ["a b#?%.jpg"]


def test_a_redirect_is_followed(images: Source, tmp_path: Path) -> None:
    images.give["/moved.jpg"] = [Served(status=301, location=f"/{CAT}")]
    assert fetch(images, tmp_path, ["moved.jpg"]).fetched == 1
    assert (tmp_path / "moved.jpg").read_bytes() == picture()


SHORT = 0.2
SCRIPT = """
import sys
from pathlib import Path
from chatir.datasets.fetch import fetch_images
fetch_images({names!r}, Path(sys.argv[1]), {url!r}, wait=0.01)
"""
PASSING = {
    "truncated": (Served(picture()[:100], length=len(picture())), "peer closed connection"),
    "cut short": (Served(picture()[:-20]), "damaged image: image file is truncated"),
    "html": (Served(b"<html>sign in</html>"), "not an image"),
    "empty": (Served(b""), "not an image"),
    "broken": (Served(status=500), "HTTP 500"),
    "busy": (Served(status=429), "HTTP 429"),
    "hanging": (Served(hang=True), r"nothing came for 0\.2 s"),
}
SLOW = {"dripping": (Served(picture(), drip=0.05), "not whole after 2 s")}
LASTING = {
    "missing": (Served(status=404), "HTTP 404"),
    "forbidden": (Served(status=403), "HTTP 403"),
    "circular": (Served(status=302, location=f"/{CAT}"), "redirects"),
    "elsewhere": (Served(status=302, location="ftp://127.0.0.1/cat.jpg"), "ftp"),
    "long": (Served(bytes(MAX_BYTES + 1)), "more than 33,554,432 bytes"),
    "many pixels": (Served(picture("PNG", (9000, 8000), "1")), "9000 x 8000 pixels, more than 64,000,000"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_asked_for_again(images: Source, tmp_path: Path, name: str) -> None:
    images.give[f"/{CAT}"].insert(0, PASSING[name][0])
    assert fetch(images, tmp_path, [CAT], timeout=SHORT if PASSING[name][0].hang else 5) == ImageReport(1, 0, ())
    assert (tmp_path / CAT).read_bytes() == picture()


@pytest.mark.parametrize("name", PASSING | SLOW | LASTING)
def test_an_image_that_fails_leaves_nothing_behind_and_the_others_go_on(
    images: Source, tmp_path: Path, name: str
) -> None:
    served, reason = (PASSING | SLOW | LASTING)[name]
    images.give[f"/{CAT}"] = [served]
    timeout = SHORT if served.hang or served.drip else 5
    report = fetch(images, tmp_path, [CAT, DOG], attempts=1, workers=1, timeout=timeout)
    assert (report.fetched, report.present) == (1, 0)
    assert [image for image, _ in report.failed] == [CAT]
    assert re.search(reason, report.failed[0][1])
    assert files(tmp_path) == [DOG]
    images.give[f"/{CAT}"] = [Served(picture())]
    assert fetch(images, tmp_path, [CAT, DOG]) == ImageReport(1, 1, ())


@pytest.mark.parametrize(("name", "asked"), [("broken", 3), ("missing", 1), ("forbidden", 1), ("many pixels", 1)])
def test_attempts(images: Source, tmp_path: Path, name: str, asked: int) -> None:
    images.give[f"/{CAT}"] = [(PASSING | LASTING)[name][0]]
    assert fetch(images, tmp_path, [CAT], attempts=3).fetched == 0
    assert len(images.requests) == asked


def test_attempts_are_not_printed(images: Source, tmp_path: Path) -> None:
    images.give[f"/{CAT}"].insert(0, Served(status=500))
    script = SCRIPT.format(names=[CAT], url=images.url)
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert len(images.requests) == 2


def test_a_source_that_is_down_is_not_asked_for_every_image(tmp_path: Path) -> None:
    told: list[tuple[int, ...]] = []
    with pytest.raises(FetchError, match=r"http://127\.0\.0\.1:9/: 50 images in a row failed, .*--base-url") as error:
        fetch(
            Source("http://127.0.0.1:9/"),
            tmp_path,
            [f"{number}.jpg" for number in range(1000)],
            attempts=1,
            progress=lambda *counts: told.append(counts),
        )
    assert error.value.exit_code == 1
    assert told[-1][2] < DEAD_AFTER + 16


def test_images_that_the_source_lacks_do_not_make_it_down(images: Source, tmp_path: Path) -> None:
    report = fetch(images, tmp_path, [*(f"{number}.jpg" for number in range(2 * DEAD_AFTER)), CAT])
    assert (report.fetched, len(report.failed)) == (1, 2 * DEAD_AFTER)
    assert [image for image, _ in report.failed[:3]] == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize("image", ["../cat.jpg", "a/../../cat.jpg", "/etc/cat.jpg", "C:\\cat.jpg", "", ".", "a\0.jpg"])
def test_a_path_that_leaves_the_folder_is_refused_before_any_request(
    images: Source, tmp_path: Path, image: str
) -> None:
    with pytest.raises(InputError, match="image path"):
        fetch(images, tmp_path, [CAT, image])
    assert images.requests == []
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_stops_everything(images: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=rf"{tmp_path}/file/unlabeled2017: not a directory"):
        fetch(images, tmp_path / "file", [CAT, DOG])


def test_a_full_disk_stops_everything_and_leaves_no_piece(images: Source, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(InputError, match=f"{CAT}: file too large"):
            fetch(images, tmp_path, [CAT, DOG], workers=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == []
    assert images.requests == [f"/{CAT}"]


@pytest.mark.parametrize("option", [{"workers": 0}, {"attempts": 0}])
def test_no_worker_fetches_nothing(images: Source, tmp_path: Path, option: dict[str, int]) -> None:
    with pytest.raises(InputError, match="at least 1"):
        fetch(images, tmp_path, [CAT], **option)


def test_an_interrupt_stops_at_once_though_the_source_hangs(images: Source, tmp_path: Path) -> None:
    images.give[f"/{DOG}"] = [Served(hang=True)]
    script = SCRIPT.format(names=[CAT, DOG], url=images.url)
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while (len(images.requests) < 2 or files(tmp_path) != [CAT]) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert files(tmp_path) == [CAT]
