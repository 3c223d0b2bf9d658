"""`chatir doctor`, as a user types it, on machines where much is wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Doctor = Callable[..., "subprocess.CompletedProcess[str]"]

PLAYERS = '''
import os
import sys
from pydantic import BaseModel
from chatir.models.chat.options import ChatOptions
from chatir.models.local.text_model import LocalOptions

print("a plugin that talks as it is imported")
os.write(1, b"below Python, too")

class Sized(LocalOptions):
    model: str = "someone/some-model"

class Elsewhere(ChatOptions):
    model: str = "some-model"
    key_env: str = "ELSEWHERE_KEY"

class Wanting(BaseModel):
    board: str

class Fine:
    """Needs nothing."""

class Sees:
    needs_images = True

def sized(options: Sized): ...
def elsewhere(options: Elsewhere): ...
def wanting(options: Wanting): ...
def sees() -> Sees: ...
'''
ENTRIES = """[chatir.questioners]
fine = doctored:Fine
sized = doctored:sized
elsewhere = doctored:elsewhere
wanting = doctored:wanting
gone = doctored:Gone
telling = doctored_telling:Player
leaving = doctored_leaving:Player
lacking = doctored_lacking:Player [more]
extra = doctored:Fine [more]

[chatir.answerers]
sees = doctored:sees
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A distribution with players in every state."""
    site = tmp_path / "site"
    info = site / "doctored-1.dist-info"
    info.mkdir(parents=True)
    (site / "doctored.py").write_text(PLAYERS)
    (site / "doctored_telling.py").write_text("import os\nraise RuntimeError('key ' + os.environ['OPENAI_API_KEY'])\n")
    (site / "doctored_leaving.py").write_text("import sys\nsys.exit(3)\n")
    (site / "doctored_lacking.py").write_text("import a_package_that_nobody_has\n")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: doctored\nVersion: 1\nProvides-Extra: more\n"
        "Requires-Dist: a-package-that-nobody-has; extra == 'more'\n"
    )
    (info / "entry_points.txt").write_text(ENTRIES)
    return site


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        hidden = ("OPENAI_", "HF_", "CHATIR_")
        ours = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        ours |= {"CHATIR_DATA": str(tmp_path / "data"), "HF_HOME": str(tmp_path / "hub")} | environment
        command = [sys.executable, "-m", "chatir", "doctor", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=ours, capture_output=True, text=True)

    return run


def told(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def by_name(done: subprocess.CompletedProcess[str], section: str) -> dict[str, Any]:
    return {finding["what"]: finding for finding in told(done)["sections"][section]}


def test_the_table_ends_with_the_sum_and_exits_with_0_in_spite_of_gaps(doctor: Doctor) -> None:
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    *rest, demo, last = done.stdout.splitlines()
    assert demo.startswith("at once, with nothing more: chatir demo, and the small models scenes:")
    assert last.startswith("ready: ")
    assert "gaps, each with the line that mends it" in last
    assert max(map(len, rest)) <= 100
    assert "\x1b" not in done.stdout
    assert done.stdout.isascii()


def test_every_gap_has_a_line_that_mends_it_and_is_counted(doctor: Doctor) -> None:
    found = told(doctor("--format", "json"))
    gaps = [each for section in found["sections"].values() for each in section if each["state"] in ("needs", "broken")]
    assert found["gaps"] == len(gaps) > 0
    assert all(each["mends"] and all(each["mends"]) for each in gaps)
    assert [*found["sections"]] == [
        *("machine", "packages", "data", "lavis", "keys", "hub", "questioners", "answerers", "retrievers")
    ]


def test_the_built_in_players_are_told_by_what_they_declare(doctor: Doctor) -> None:
    done = doctor("--format", "json")
    questioners, answerers, retrievers = (by_name(done, kind) for kind in ("questioners", "answerers", "retrievers"))
    assert questioners["human"]["state"] == "ok"
    assert questioners["chatgpt"]["mends"][0][0] == "export OPENAI_API_KEY=..."
    assert questioners["unanswered"]["mends"] == questioners["chatgpt"]["mends"]
    assert ["-q model=NAME", "-q model=scenes:t5 -q prompt=scenes"] in questioners["hf"]["mends"]
    assert questioners["flan-t5-xl"]["state"] == "needs"
    assert questioners["pool"]["mends"] in ([["chatir fetch"]], [["pip install 'chatir[offline]'"]])
    assert ["chatir fetch images"] in answerers["openai-vision"]["mends"]
    assert ["chatir lavis install"] in answerers["blip2-lavis"]["mends"]
    assert any("-a model=scenes:blip2" in lines for lines in answerers["blip2"]["mends"])
    assert ["-r checkpoint=FILE"] in retrievers["chatir"]["mends"]
    assert any("-r model=scenes:clip" in lines for lines in retrievers["clip"]["mends"])
    assert "bert-base-uncased" in by_name(done, "hub")


def test_players_of_others_are_told_whatever_they_do(doctor: Doctor, site: Path) -> None:
    done = doctor("--format", "json", PYTHONPATH=str(site), OPENAI_API_KEY="sk-of-nobody-at-all")
    assert "sk-of-nobody-at-all" not in done.stdout
    found = by_name(done, "questioners")
    assert (found["fine"]["state"], found["fine"]["detail"]) == ("ok", "ready")
    assert "someone/some-model, a download of unknown size" in found["sized"]["detail"]
    assert found["elsewhere"]["mends"][0][0] == "export ELSEWHERE_KEY=..."
    assert found["wanting"]["mends"] == [["-q board=VALUE"]]
    assert {found[name]["state"] for name in ("gone", "telling", "leaving")} == {"broken"}
    assert "key [key]" in found["telling"]["detail"]
    assert "SystemExit: 3" in found["leaving"]["detail"]
    assert found["lacking"]["mends"] == found["extra"]["mends"] == [["pip install 'doctored[more]'"]]
    assert by_name(done, "answerers")["sees"]["mends"] == [["chatir fetch images"]]
    assert by_name(done, "hub")["someone/some-model"]["state"] == "optional"


def test_two_players_of_one_name_are_a_line_and_hide_no_other_kind(doctor: Doctor, site: Path) -> None:
    (site / "doctored-1.dist-info" / "entry_points.txt").write_text("[chatir.questioners]\nhuman = doctored:Fine\n")
    done = doctor("--format", "json", PYTHONPATH=str(site))
    (twice,) = told(done)["sections"]["questioners"]
    assert "two questioners are named 'human'" in twice["detail"]
    assert twice["mends"] == [["pip uninstall doctored"]]
    assert by_name(done, "answerers")["human"]["state"] == "ok"


SECRETS = {
    "OPENAI_API_KEY": "sk-of-nobody-at-all",
    "OPENAI_BASE_URL": "https://me:correct-horse@models.example/v1",
    "HF_TOKEN": "hf_of_nobody_at_all",
    "HTTPS_PROXY": "http://me:battery-staple@proxy.example:3128",
}


@pytest.mark.parametrize("form", ["table", "json"])
def test_no_secret_is_in_any_output(doctor: Doctor, form: str) -> None:
    done = doctor("--format", form, **SECRETS, CHATIR_DATA="/nowhere/sk-of-nobody-at-all")
    assert done.returncode == 0
    for secret in ("nobody", "horse", "staple"):
        assert secret not in done.stdout + done.stderr
    assert "models.example" in done.stdout
    assert "proxy.example:3128" in done.stdout


def test_nobody_is_asked(doctor: Doctor, site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.01)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        places = ("OPENAI_BASE_URL", "HF_ENDPOINT", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        done = doctor(PYTHONPATH=str(site), **dict.fromkeys(places, address))
        assert done.returncode == 0
        with pytest.raises(TimeoutError):
            server.accept()


@pytest.mark.parametrize(
    ("variable", "place", "section", "what"),
    [
        ("CHATIR_DATA", "file", "data", "data folder"),
        ("HF_HOME", "file", "hub", "cache"),
        ("HF_HOME", "file/below", "hub", "cache"),
    ],
)
def test_a_folder_that_is_a_file_is_a_line(
    doctor: Doctor, tmp_path: Path, variable: str, place: str, section: str, what: str
) -> None:
    (tmp_path / "file").touch()
    found = by_name(doctor("--format", "json", **{variable: str(tmp_path / place)}), section)[what]
    assert found["state"] == "needs"
    assert "is no folder" in found["detail"]
    assert found["mends"][0][0].startswith(f"export {variable}=")


def test_a_home_where_nothing_can_be_written_is_told(doctor: Doctor) -> None:
    done = doctor("--format", "json", HOME="/dev/null", CHATIR_DATA="", HF_HOME="", XDG_CACHE_HOME="")
    assert by_name(done, "data")["data folder"]["state"] == "needs"


def test_a_home_is_not_named(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor(HOME=str(tmp_path))
    assert str(tmp_path) not in done.stdout
    assert "~/data" in done.stdout


def test_an_ascii_terminal_shows_any_path(doctor: Doctor, tmp_path: Path) -> None:
    done = doctor(CHATIR_DATA=str(tmp_path / "d\u00e4t\u00e4"), PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert r"d\xe4t\xe4" in done.stdout


def test_transformers_is_not_imported() -> None:
    code = (
        "import sys; from chatir.cli import run; run(['doctor']);"
        "assert 'torch' in sys.modules;"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
