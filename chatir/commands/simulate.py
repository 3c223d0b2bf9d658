"""`chatir simulate`: let a questioner and an answerer talk about images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from chatir.commands.arguments import FILE, name_failures, read_targets
from chatir.console import note, say, shown_progress
from chatir.errors import InputError


@click.command()
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
    read = read_targets(targets or default_targets(), limit, image_template)
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
    name_failures(summary.failed, f"; all are in {summary.run_file}")
    say(summary_text(summary))
    if summary.failed:
        note(f"{len(summary.failed)} dialogs failed and are left out; the same command tries them again")
        raise click.exceptions.Exit(1)
