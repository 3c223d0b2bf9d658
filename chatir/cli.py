"""The commands: parse, call, print."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from chatir import __version__
from chatir.console import complain, note, say, shown_progress, tell
from chatir.errors import ChatirError, InputError

if TYPE_CHECKING:
    from chatir.simulate.targets import Targets

SHOWN_FAILURES = 10
FILE = click.Path(path_type=Path)
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "auto_envvar_prefix": "CHATIR"}


def main() -> NoReturn:
    """The `chatir` command. It exits at once: a player's thread may still be inside a call that never ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; every error becomes one line on stderr."""
    try:
        code = commands.main(list(arguments), prog_name="chatir", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        tell(error.message, sys.stderr)
        return 2
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        about = context.command_path if context else "chatir"
        return complain(f"{error.format_message()} (see '{about} --help')", 2)
    except ChatirError as error:
        return complain(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return complain("interrupted", 130)
    except SystemExit:  # click's answer to help that goes into a closed pipe
        return 0
    except OSError as error:  # help that goes to a full disk; all else is told where it happens
        return complain(f"standard output: {error.strerror}", 2)
    return code if isinstance(code, int) else 0


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="chatir")
def commands() -> None:
    """Simulate dialogs about images, and compare the questioners that lead them.

    A questioner, who does not see the image, asks; an answerer, who does, answers. Every option can also
    come from the environment: CHATIR_SIMULATE_LIMIT=20 is simulate --limit 20.
    """


@commands.command()
@click.option("--questioner", required=True, metavar="NAME", help="Who asks; see 'chatir list questioners'.")
@click.option("--answerer", required=True, metavar="NAME", help="Who answers; see 'chatir list answerers'.")
@click.option(
    "-q",
    "questioner_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Its option, as in 'chatir list'; again for more.",
)
@click.option(
    "-a",
    "answerer_options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Its option, as in 'chatir list'; again for more.",
)
@click.option(
    "--targets",
    type=FILE,
    metavar="FILE",
    help="Images to talk about, with captions: ChatIR or VisDial v1.0 JSON, JSONL or CSV (image, caption, perhaps id). "
    "[default: the VisDial v1.0 validation queries that 'chatir fetch' brings]",
)
@click.option(
    "--image-template",
    metavar="TEMPLATE",
    help="Path of an image in VisDial JSON, which knows numbers only. [default: unlabeled2017/{image_id:012d}.jpg]",
)
@click.option("--images", type=FILE, metavar="DIR", help="Folder of the images, if a player looks at them.")
@click.option("--rounds", default=10, show_default=True, metavar="N", help="Rounds per dialog.")
@click.option("--limit", type=int, metavar="N", help="Only the first N targets; it may grow from call to call.")
@click.option("--seed", default=0, show_default=True, metavar="N", help="Seed of the players that sample.")
@click.option(
    "--out",
    type=FILE,
    metavar="FILE.json",
    help="Dialogue file to write; its run file stands beside it. [default: outputs/<Questioner>_<Answerer>.json]",
)
@click.option("--fresh", is_flag=True, help="Keep an existing run aside and start anew.")
@click.option(
    "--deterministic", is_flag=True, help="Fixed batches in target order, for models whose replies depend on them."
)
@click.option(
    "--ask-again",
    default=2,
    show_default=True,
    metavar="N",
    help="Times a reply without a question or answer is asked again.",
)
def simulate(
    questioner: str,
    answerer: str,
    questioner_options: tuple[str, ...],
    answerer_options: tuple[str, ...],
    targets: Path | None,
    image_template: str | None,
    images: Path | None,
    limit: int | None,
    out: Path | None,
    **settings: Any,
) -> None:
    """Let a questioner and an answerer talk about images.

    They hold a dialog about each target; the dialogs are written as dialogue JSON. The same command typed
    again goes on where it stopped, and retries the dialogs that failed. Every reply is saved as it comes.

    Exit codes: 0 done, 1 some dialogs failed (they are named), 2 wrong use or bad input, 130 interrupted
    with everything saved.
    """
    from chatir.data import data_folder, default_images, default_targets
    from chatir.plugins import Context, build, parse_options
    from chatir.simulate import simulate as run_simulation
    from chatir.simulate.player import Player
    from chatir.simulate.summary import summary_text

    asks, answers = parse_options(questioner_options, "-q"), parse_options(answerer_options, "-a")
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images}: is no folder")
    context = Context(images or default_images(), data_folder(), note)
    asking = build("questioners", questioner, asks, context)
    answering = build("answerers", answerer, answers, context)
    read = _targets(targets or default_targets(), limit, image_template)
    names = (Player.of(asking, "ask").name, Player.of(answering, "answer").name)
    path = out or Path("outputs", f"{'_'.join(names)}.json")
    if path.resolve() == read.path.resolve():
        raise InputError(f"{path}: holds the targets; name another --out")
    with shown_progress(sys.stderr) as report:
        summary = run_simulation(
            read, asking, answering, out=path, images=context.images, report=report, note=note, **settings
        )
    if not summary.new_replies:
        note("this run was complete; its dialogue file is written again")
    _name_failures(summary.failed, f"; all are in {summary.run_file}")
    say(summary_text(summary))
    if summary.failed:
        note(f"{len(summary.failed)} dialogs failed and are left out; the same command tries them again")
        raise click.exceptions.Exit(1)


@commands.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="FILE...")
@click.option(
    "--reference", type=FILE, metavar="FILE", help="A dialogue file over the same targets to hold each file against."
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    metavar="N",
    help="Rounds that a dialog should have.",
)
@click.option(
    "--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="What to print."
)
def lint(files: tuple[Path, ...], reference: Path | None, rounds: int, form: str) -> None:
    """Count the defects of dialogue files.

    Leaked labels, lost question marks, empty answers, odd spacing, images named twice and more; with
    --reference also dialogs that are missing, extra, of another caption or in another order. Findings do not
    change the exit code.
    """
    import json

    from chatir.compare.lint import lint as lint_file
    from chatir.compare.lint_table import lint_table

    reports = [lint_file(file, reference, rounds=rounds) for file in files]
    say(json.dumps([report.as_json() for report in reports], indent=2) if form == "json" else lint_table(reports))


@commands.command("list")
@click.argument("kind", required=False, type=click.Choice(["questioners", "answerers", "retrievers", "prompts"]))
def list_(kind: str | None) -> None:
    """List what is installed: players, retrievers, prompts.

    Each questioner, answerer and retriever is shown with its options, as -q, -a and -r take them.
    """
    from chatir.listing import listing

    say(listing(kind))


@commands.command()
@click.argument("what", required=False, type=click.Choice(["released", "images"]), default="released")
@click.option(
    "--targets",
    type=FILE,
    metavar="FILE",
    help="With IMAGES: of these targets. [default: the released VisDial queries]",
)
@click.option("--image-template", metavar="TEMPLATE", help="With IMAGES: as in 'chatir simulate'.")
@click.option("--limit", type=int, metavar="N", help="With IMAGES: the first N only.")
@click.option("--corpus", type=FILE, metavar="LIST.json", help="With IMAGES: of this corpus list instead.")
@click.option("--whole-corpus", is_flag=True, help="With IMAGES: of the released list of 50,000 instead (about 8 GB).")
@click.option("--base-url", metavar="URL", help="Fetch from here, not from ChatIR's repository or COCO's server.")
@click.option("--folder", type=FILE, metavar="DIR", help="Put them here. [default: the data folder, CHATIR_DATA]")
def fetch(
    what: str,
    targets: Path | None,
    image_template: str | None,
    limit: int | None,
    corpus: Path | None,
    whole_corpus: bool,
    base_url: str | None,
    folder: Path | None,
) -> None:
    """Bring the released dialogues, or images.

    RELEASED brings the five released dialogue files and the list of the 50,000 images to search in (8 MB),
    IMAGES the images that targets name, one by one from COCO's own server. What is there already is not
    fetched again, so the same command goes on after an interruption.

    Exit codes: 0 all there, 1 something could not be fetched (it is named), 2 wrong use.
    """
    from itertools import islice

    from chatir.data import IMAGES, IMAGES_URL, RELEASED_URL, data_folder, default_corpus, default_targets, read_corpus
    from chatir.fetch import fetch_images, fetch_released

    _check_limit(limit)
    sources = {"--targets": targets, "--corpus": corpus, "--whole-corpus": whole_corpus}
    given = [name for name, value in sources.items() if value]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} do not go together")
    if what == "released":
        others = {"--limit": limit, "--image-template": image_template}
        if given := [*given, *(name for name, value in others.items() if value)]:
            raise InputError(f"{given[0]} goes with 'chatir fetch images'")
        for path in fetch_released(folder or data_folder(), base_url or RELEASED_URL, note):
            say(path)
        return

    wanted: Iterable[str]
    if corpus or whole_corpus:
        wanted = read_corpus(corpus or default_corpus())
    else:
        wanted = (target.image for target in _targets(targets or default_targets(), limit, image_template))
    root = folder or data_folder() / IMAGES
    with shown_progress(sys.stderr) as show:
        report = fetch_images(
            islice(wanted, limit),
            root,
            base_url or IMAGES_URL,
            progress=lambda done, total, failed, size: show(
                f"{done}/{total} images, {failed} failed, {size / 1e6:.1f} MB"
            ),
        )
    _name_failures([f"{image}: {reason}" for image, reason in report.failed])
    say(f"{report.fetched} images fetched, {report.present} were there, {len(report.failed)} failed")
    say(root)
    if report.failed:
        raise click.exceptions.Exit(1)


@commands.command()
@click.argument("folder", required=False, type=FILE, metavar="[DIR]")
@click.option(
    "--count", type=click.IntRange(1, 100_000), default=1000, show_default=True, metavar="N", help="Pictures to draw."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="S", help="Another seed, other scenes."
)
@click.option("--checkpoints", is_flag=True, help="Print where the built-in models are, as JSON, and draw nothing.")
@click.pass_context
def scenes(context: click.Context, folder: Path | None, count: int, seed: int, checkpoints: bool) -> None:
    """Draw small scenes whose content is known.

    DIR gets images/, corpus.json (their list, to search in) and targets.json (a vague caption of each and ten
    rounds in which simulated people talk about it). The same count and seed give the same bytes.

    Three small models that were trained on such scenes come with chatir: an answerer (blip2), a retriever (clip)
    and a questioner (t5). None of the scenes drawn here was shown to them in training.
    """
    if (folder is not None) == checkpoints:
        raise click.UsageError("give a folder to write to, or --checkpoints")
    if folder is None:
        import json

        from click.core import ParameterSource

        for name in ("count", "seed"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} goes with a folder, not with --checkpoints")

        from chatir.scenes.checkpoints import checkpoints as built_in

        say(json.dumps({name: str(path) for name, path in built_in().items()}))
        return
    from chatir.scenes.folder import write_scenes

    with shown_progress(sys.stderr) as show:
        write_scenes(folder, count, seed, show)
    say(folder)


def _targets(path: Path, limit: int | None, image_template: str | None) -> Targets:
    from chatir.simulate.targets import VISDIAL_IMAGE, Targets

    _check_limit(limit)
    return Targets(path, limit, image_template or VISDIAL_IMAGE)


def _check_limit(limit: int | None) -> None:
    if limit is not None and not 1 <= limit <= sys.maxsize:
        raise InputError(f"--limit is {limit}, but must be at least 1 and a number of targets")


def _name_failures(failures: Sequence[object], rest: str = "") -> None:
    """A line for each of the first failures, and how many more there are."""
    for failure in failures[:SHOWN_FAILURES]:
        note(f"failed: {failure}")
    if (more := len(failures) - SHOWN_FAILURES) > 0:
        note(f"failed: {more} more{rest}")
