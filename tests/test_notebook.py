"""The notebook in examples/ runs from its first cell to its last, and still gives what it shows."""

from __future__ import annotations

import copy
import re
import sys
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

PROJECT = Path(__file__).parents[1]
NOTEBOOK = PROJECT / "examples" / "ask_and_compare.ipynb"
PLACES = [str(PROJECT), sys.prefix, tempfile.gettempdir(), str(Path.home()), "site-packages", "/home/", "/Users/"]
NUMBER = re.compile(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?(?![\w])")


@pytest.fixture(scope="module")
def stored() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def executed(stored: NotebookNode, tmp_path_factory: pytest.TempPathFactory) -> NotebookNode:
    """The notebook after a fresh kernel has run it in a folder of its own, without what it had shown before."""
    from nbclient import NotebookClient

    folder = tmp_path_factory.mktemp("notebook")
    fresh = copy.deepcopy(stored)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    with pytest.MonkeyPatch.context() as environment:
        for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "CHATIR_DATA", "MPLCONFIGDIR"):
            environment.setenv(variable, str(folder / f".{variable.lower()}"))
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(fresh, timeout=300, kernel_name="python3", record_timing=False, resources=resources).execute()
    assert not list(PROJECT.rglob("notebook/scenes")), "it writes below its own folder"
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["notebook"]
    return fresh


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts(cell: NotebookNode) -> list[str]:
    """What a cell shows in words: a table, a sentence, a line."""
    found = [output.data.get("text/markdown") or output.data["text/plain"] for output in cell.outputs]
    return [re.sub(r"<[\w.]+ .*>", "", text) for text in found]


def near(shown: str, now: str) -> bool:
    """Whether two numbers differ by no more than another CPU may: a rank or two, as many percent of 100 dialogs."""
    before, after = (float(number.replace(",", "")) for number in (shown, now))
    small = "." in shown and abs(before) < 5
    return abs(after - before) <= max(0.1 * abs(before), 0.15 if small else 2.5)


def agree(shown: str, now: str) -> bool:
    """Whether two texts have as many numbers, each near the other's."""
    before, after = NUMBER.findall(shown), NUMBER.findall(now)
    return len(before) == len(after) and all(map(near, before, after))


def test_it_is_valid_and_stored_as_a_fresh_kernel_left_it(stored: NotebookNode) -> None:
    nbformat.validate(stored)
    assert [cell.execution_count for cell in code_cells(stored)] == list(range(1, len(code_cells(stored)) + 1))
    outputs = [output for cell in code_cells(stored) for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"execute_result", "display_data"}, "no warnings, no errors"
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2


def test_it_is_small_and_tells_nothing_of_who_ran_it(stored: NotebookNode) -> None:
    assert NOTEBOOK.stat().st_size < 400_000
    readable = [cell.source for cell in stored.cells]
    for output in (output for cell in code_cells(stored) for output in cell.outputs):
        readable += [str(data) for kind, data in output.get("data", output).items() if not kind.startswith("image/")]
    assert not [place for place in PLACES for text in readable if len(place) > 1 and place in text]
    assert stored.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert not any(cell.metadata for cell in stored.cells), "no times, no state of an editor"


def test_its_links_lead_somewhere(stored: NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((?!http)([^)#]+)", prose)
    assert links
    assert all((NOTEBOOK.parent / link).exists() for link in links), links


@pytest.mark.slow
def test_it_shows_now_what_it_is_stored_with(stored: NotebookNode, executed: NotebookNode) -> None:
    for before, after in zip(code_cells(stored), code_cells(executed), strict=True):
        assert [output.output_type for output in before.outputs] == [output.output_type for output in after.outputs]
        for shown, now in zip(texts(before), texts(after), strict=True):
            assert agree(shown, now), f"cell {before.id} shows\n{shown}\nand now gives\n{now}"


@pytest.mark.slow
def test_the_one_that_follows_up_wins_whatever_the_last_digit(executed: NotebookNode) -> None:
    (verdict,) = (texts(cell)[0] for cell in code_cells(executed) if cell.id == "verdict")
    assert verdict.startswith("t5: finds fewer targets than follow-up (")
    assert verdict.endswith("finds targets later and repeats itself more; about the questioners")


@pytest.mark.parametrize(
    ("shown", "now", "same"),
    [
        ("Hits@10 83.0 of 1,000", "Hits@10 84.0 of 1,000", True),
        ("Hits@10 83.0", "Hits@10 70.0", False),
        ("rank 3", "rank 3 4", False),
        ("rank 200", "rank 215", True),
        ("-17.0", "+17.0", False),
        ("BRI 0.646", "BRI 0.651", True),
        ("BRI 0.646", "BRI 0.946", False),
    ],
)
def test_figures_agree_where_they_are_close(shown: str, now: str, same: bool) -> None:
    assert agree(shown, now) is same
