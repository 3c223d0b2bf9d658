"""The checks of pages find what they are there for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from docs.dead_links import dead_links
from docs.named_commands import complaints
from docs.pages import Page
from docs.reading_alike import read_differently
from docs.running import BlockError, run_page
from docs.shell_words import called


@pytest.fixture
def page(tmp_path: Path) -> Page:
    """An empty page; a test writes what it is about."""
    return Page(tmp_path / "page.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fresh folder to run it in."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


def shell(text: str, title: str = "") -> str:
    return f"# A page\n\n```sh{title}\n{text}\n```\n"


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("chatir simulat --questioner human", "chatir has no command 'simulat'"),
        ("chatir lint --referenc x.json y.json", "No such option"),
        ("chatir lint x.json --format tabel", "'tabel' is not one of"),
        ("chatir cache prun x", "chatir cache has no command 'prun'"),
        ("chatir score x.json", "Missing option '--retriever'"),
        ("chatir score x.json --retriever clipp", "there is no retriever 'clipp'"),
        ("chatir score x.json --retriever clip -r modle=x", "retriever 'clip' has no option 'modle'"),
        ("chatir simulate --questioner human --answerer blip2 -a beems=3", "answerer 'blip2' has no option 'beems'"),
        ("chatir simulate --questioner hf -q decode=gready --answerer human", "decode=gready"),
        ("chatir simulate --questioner unanswered -q backend=hf -q beems=3 --answerer human", "no option 'beems'"),
        ("cd x && time chatir \\\n  lint --no y.json | head", "No such option"),
        ('x="$(chatir lost --all)"', "chatir has no command 'lost'"),
        ("make demo tast", "there is no target 'tast'"),
        ("python benchmarks/nothing.py --n 3", "there is no benchmarks/nothing.py"),
        ("python -m tools.scene_models.nothing", "there is no tools/scene_models/nothing.py"),
    ],
)
@pytest.mark.parametrize("title", ["", ' title="needs a key"'])
def test_a_command_that_does_not_exist_is_found_whether_it_is_run_or_not(
    page: Page, command: str, wrong: str, title: str
) -> None:
    page.path.write_text(shell(command, title))
    (told,) = complaints(page)
    assert wrong in told
    assert told.startswith("page.md, line 3: ")


def test_what_exists_is_not_complained_about(page: Page) -> None:
    registered = '[project.entry-points."chatir.questioners"]\nmine = "me:Mine"\n'
    commands = """
chatir simulate --questioner mine -q anything=1 --answerer blip2 -a model=NAME -a beams=1   # a comment, "unfinished
chatir simulate --questioner unanswered -q backend=hf -q model=x --answerer openai-vision -a price_in=none
KEY=1 chatir score outputs/*.json --retriever clip -r model="$HERE" --k 1,5 2>&1 | grep x > file
chatir compare a.json b.json --format csv && make demo
cat > chatir.txt <<'END'
chatir nonsense --no
END
"""
    page.path.write_text(
        shell(commands) + f"\n```toml\n{registered}```\n\nSay `chatir lint --reference FILE`, `chatir list`.\n"
    )
    assert complaints(page) == []


def test_a_command_in_a_sentence_exists_too(page: Page) -> None:
    page.path.write_text("`chatir sing`, `chatir lint --loud`, `make hay`, `chatir ...` and `chatir/cli.py`\n")
    assert len(complaints(page)) == 3


def test_a_quotation_without_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="never ends"):
        list(called("chatir lint 'x.json\n"))


def test_dead_links_and_anchors_are_found(page: Page) -> None:
    (page.path.parent / "other.md").write_text(
        "# Other `page`, with_a comma\n\n## Twice\n\n## Twice\n\n```sh\n# No heading\n```\n"
    )
    page.path.write_text(
        "# Here\n\n[1](#here) [2](other.md) [3](other.md#other-page-with_a-comma) [4](https://example.org/x#y)\n\n"
        "[5](gone.md) [6](#gone) [7](other.md#twice) [8](other.md#no-heading) ![9](gone.png)\n\n"
        "| a | b |\n| --- | --- |\n| [10](other.md#nowhere) | `[x](gone.md)` |\n"
    )
    dead = list(dead_links(page))
    assert [line.split(": ")[1] for line in dead] == [
        "gone.md", "#gone", "other.md#twice", "other.md#no-heading", "gone.png", "other.md#nowhere",
    ]  # fmt: skip


def test_lists_that_only_github_sees_are_found(page: Page) -> None:
    page.path.write_text(
        "Text\n- a\n- b\n\nText\n\n- a\n  - b\n\nText\n\n- a\n    - b\n\nText\n\n| a |\n| --- |\n| b |\n"
    )
    assert [line.split(": ")[0] for line in read_differently(page)] == ["page.md, line 2", "page.md, line 8"]


def test_a_failing_block_is_shown_with_what_it_printed(page: Page, folder: Path, tmp_path: Path) -> None:
    page.path.write_text(shell("echo first") + shell("echo second\nls nowhere | cat\necho third"))
    with pytest.raises(BlockError) as error:
        run_page(page, folder, tmp_path / "data")
    assert "page.md, line 8: exit code 2 of\n\necho second\nls nowhere" in str(error.value)
    assert error.value.output.startswith("second\n")
    assert "third\n" not in error.value.output


def test_a_failing_block_of_python_is_shown_too(page: Page, folder: Path, tmp_path: Path) -> None:
    page.path.write_text("# A page\n\n```python\nx = 1\n```\n\n```python\nprint(x)\nassert x == 2\n```\n")
    with pytest.raises(BlockError, match="AssertionError") as error:
        run_page(page, folder, tmp_path / "data")
    assert "page.md, line 7: exit code 1" in str(error.value)


@pytest.mark.parametrize("command", ["pip uninstall chatir", "python -m pip install x", "cd x && make clean"])
def test_a_block_that_installs_is_not_run(page: Page, folder: Path, tmp_path: Path, command: str) -> None:
    page.path.write_text(shell(f"touch ran\n{command}"))
    with pytest.raises(BlockError, match="tests do not call what installs"):
        run_page(page, folder, tmp_path / "data")
    assert not (folder / "ran").exists()


def test_blocks_share_a_folder_and_names_and_what_needs_something_is_not_run(
    page: Page, folder: Path, tmp_path: Path
) -> None:
    python = (
        "```python\nfrom pathlib import Path\n\nx = Path('file').read_text()\n```\n\n```python\nprint(x * 2)\n```\n"
    )
    page.path.write_text(
        shell("echo here > file; who=you") + shell("false", ' title="needs a key"') + shell("echo $who") + python
    )
    printed = run_page(page, folder, tmp_path / "data")
    assert "you\n" in printed
    assert "here\nhere\n" in printed


def test_a_page_has_no_key_no_other_host_and_its_own_data_folder(
    page: Page, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "CHATIR_LINT_FORMAT", "CHATIR_DATA"):
        monkeypatch.setenv(name, "json")
    code = "import os, json\nprint(json.dumps(dict(os.environ)))"
    page.path.write_text(f"```python\n{code}\n```\n")
    seen = json.loads(run_page(page, folder, tmp_path / "data").splitlines()[-1])
    assert not {"OPENAI_API_KEY", "CHATIR_LINT_FORMAT"} & set(seen)
    assert seen["CHATIR_DATA"] == str(tmp_path / "data")
    assert seen["HF_HUB_OFFLINE"] == "1"
    assert seen["HOME"] != os.environ["HOME"]
    fetch = "import httpx2, pytest\nwith pytest.raises(httpx2.ConnectError):\n    httpx2.get('http://example.org')"
    page.path.write_text(f"```python\n{fetch}\n```\n")
    again = tmp_path / "again"
    again.mkdir()
    run_page(Page(page.path), again, tmp_path / "data")


def test_a_page_that_writes_into_the_data_folder_is_found(page: Page, folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    page.path.write_text(shell('mkdir "$CHATIR_DATA/indexes"; touch "$CHATIR_DATA/indexes/one"'))
    run_page(page, folder, data)
    page.path.write_text(shell('touch "$CHATIR_DATA/more"'))
    with pytest.raises(AssertionError, match="changed the data folder"):
        run_page(Page(page.path), folder, data)


def test_what_a_page_leaves_running_is_ended(page: Page, folder: Path, tmp_path: Path) -> None:
    page.path.write_text(shell("(sleep 1; touch late) &"))
    run_page(page, folder, tmp_path / "data")
    page.path.write_text(shell("sleep 1.5; test ! -e late"))
    run_page(Page(page.path), folder, tmp_path / "data")
