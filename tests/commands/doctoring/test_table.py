"""An examination as people and programs read it."""

from __future__ import annotations

import json

import pytest

from chatir.commands.doctoring.examination import Examination, Section
from chatir.commands.doctoring.examination_json import as_json
from chatir.commands.doctoring.finding import Finding, looked_at, mends_in
from chatir.commands.doctoring.machine import Machine, Torch
from chatir.commands.doctoring.table import as_text

HERE = Machine("3.11.0", "Linux", 8, 32 * 10**9, None, False, Torch("2.8.0"))
FOUND = Examination(
    HERE,
    {"torch": "2.8.0", "openai": None},
    (
        Section("data", (Finding("a very long name of something that was looked at", "ok", "word " * 60),)),
        Section(
            "questioners",
            (
                Finding("fine", "ok", "ready"),
                Finding(
                    "poor", "needs", "a \x1b[31mkey\n and \u00e9", (("export KEY=...", "-q own=true"), ("x " * 70,))
                ),
                Finding("ruined", "broken", "Error: no", (("pip install --upgrade ruined",),)),
            ),
        ),
        Section("answerers", ()),
        Section("retrievers", (Finding("bare", "optional", "nothing"),)),
    ),
)


@pytest.mark.parametrize("width", [None, 60, 80, 200, 10])
def test_no_line_is_longer_than_100_columns_or_the_terminal(width: int | None) -> None:
    lines = as_text(FOUND, width=width, color=False).splitlines()
    assert max(map(len, lines)) <= max(60, min(100, width or 100))


def test_each_gap_is_followed_by_the_lines_that_mend_it_and_the_sum_is_last() -> None:
    text = as_text(FOUND, width=None, color=False)
    first = text.index("needs   poor")
    assert text[first:].splitlines()[1:3] == ["          -> export KEY=...", "          or -q own=true"]
    assert "broken  ruined" in text
    assert "none installed" in text
    assert text.splitlines()[-2:] == [
        "at once, with nothing more: chatir demo, and the small models scenes:blip2, scenes:clip, scenes:t5",
        "ready: 1 questioners, 0 answerers, 0 retrievers; 2 gaps, each with the line that mends it",
    ]


def test_what_is_found_is_shown_and_never_obeyed() -> None:
    plain = as_text(FOUND, width=None, color=False, encoding="ascii")
    assert "\x1b" not in plain
    assert r"\x1b[31mkey\n and \xe9" in plain
    assert plain.isascii()
    assert "\u00e9" in as_text(FOUND, width=None, color=False)
    colored = as_text(FOUND, width=100, color=True)
    assert "\x1b[33m" in colored
    assert "\x1b[31mkey" not in colored


def test_json_is_plain() -> None:
    told = json.loads(as_json(FOUND))
    assert told["schema"] == "chatir.commands.doctoring/1"
    assert set(told) == {"schema", "chatir", "machine", "packages", "sections", "ready", "gaps", "at_once"}
    assert told["machine"]["available"] is None
    assert told["machine"]["torch"]["gpus"] == []
    assert told["packages"] == {"torch": "2.8.0", "openai": None}
    assert told["gaps"] == 2
    assert told["ready"] == {"questioners": ["fine"], "answerers": [], "retrievers": []}
    assert told["sections"]["questioners"][0] == {"what": "fine", "state": "ok", "detail": "ready", "mends": []}
    assert told["sections"]["questioners"][1]["mends"][0] == ["export KEY=...", "-q own=true"]


def test_a_look_that_fails_is_a_finding() -> None:
    def fail() -> list[Finding]:
        raise RuntimeError("no\nway")

    (finding,) = looked_at("something", "mend it", fail)
    assert finding == Finding("something", "broken", "cannot be looked at: RuntimeError: no way", (("mend it",),))


@pytest.mark.parametrize(
    ("message", "mend"),
    [
        ("f: is not there; 'chatir fetch' brings it, or name another", "chatir fetch"),
        ("needs the package 'x': pip install 'chatir[x]'", "pip install 'chatir[x]'"),
        ("needs them: pip install a && pip install --no-deps b", "pip install a && pip install --no-deps b"),
    ],
)
def test_the_way_out_of_an_error_is_found_in_it(message: str, mend: str) -> None:
    assert mends_in(message) == (mend,)
    assert mends_in("all is lost") == ()
