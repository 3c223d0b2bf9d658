"""`chatir simulate`: let a questioner and an answerer talk about images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatir.commands.arguments import (
    FILE,
    PlayerName,
    check_folder,
    check_limit,
    check_ready,
    is_there,
    name_failures,
    read_targets,
)
from chatir.commands.completing import names, options_of
from chatir.commands.searching import check_in_list, corpus_there, search_options
from chatir.console import note, say, shown_progress
from chatir.errors import InputError
from chatir.storage.files import file_sha256

if TYPE_CHECKING:
    from chatir.datasets.targets import Targets
    from chatir.retriever.search import Search
    from chatir.simulate.summary import RunSummary


def _seeds(context: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    """`0,1,2` as numbers, each of them once."""
    try:
        seeds = [int(part) for part in value.split(",")]
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number, or some with commas between them") from None
    if len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"{value!r} names a seed twice")
    return seeds


@click.command()
@click.option(
    "--questioner",
    type=PlayerName("questioners", "-q", "hf"),
    required=True,
    metavar="NAME",
    shell_complete=names("questioners"),
    help="Who asks; see 'chatir list questioners'.",
)
@click.option(
    "--answerer",
    type=PlayerName("answerers", "-a", "blip2"),
    required=True,
    metavar="NAME",
    shell_complete=names("answerers"),
    help="Who answers; see 'chatir list answerers'. 'human' only replays what people answered.",
)
@click.option(
    "-q",
    "questioner_options",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=options_of("questioners", "questioner"),
    help="Its option, as in 'chatir list'; again for more.",
)
@click.option(
    "-a",
    "answerer_options",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=options_of("answerers", "answerer"),
    help="Its option, as in 'chatir list'; again for more.",
)
@click.option(
    "--targets",
    type=FILE,
    metavar="FILE",
    help="Images to talk about, with captions: ChatIR or VisDial JSON, JSON lines or a table (image, caption, perhaps "
    "id). [default: the VisDial v1.0 validation queries that 'chatir fetch' brings]",
)
@click.option(
    "--image-template",
    metavar="TEMPLATE",
    help="Path of an image in VisDial JSON, which knows numbers only. [default: unlabeled2017/{image_id:012d}.jpg, and "
    "with version 0.9 as COCO's archives of 2014 have it]",
)
@click.option(
    "--images", type=FILE, metavar="DIR", help="Folder of the images, if a player or a retriever looks at them."
)
@click.option("--rounds", default=10, show_default=True, metavar="N", help="Rounds per dialog.")
@click.option("--limit", type=int, metavar="N", help="Only the first N targets; a later call may have another N.")
@click.option(
    "--seed",
    default="0",
    show_default=True,
    metavar="N[,N...]",
    callback=_seeds,
    help="Seed of the players that sample. Several make one run each: NAME_seed0.json, NAME_seed1.json, ...",
)
@click.option(
    "--out",
    type=FILE,
    metavar="FILE.json",
    help="Dialogue file to write; its run file stands beside it. [default: outputs/<Questioner>_<Answerer>.json, with "
    "each option between them that fixes the result and is not its default]",
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
@click.option(
    "--soft-refusals",
    type=click.Choice(["keep", "fail"]),
    default="keep",
    show_default=True,
    help="What to do with answers such as 'I am not able to view images': keep and count them, or fail the dialog.",
)
@click.option(
    "--cost-limit",
    type=float,
    metavar="USD",
    help="Stop before a run, all its sessions together, costs more; with several seeds, each run on its own.",
)
@click.option(
    "--cache", type=FILE, metavar="FILE", help="Keep replies of models here, and take from here what was asked before."
)
@click.option("--dry-run", is_flag=True, help="Print calls, estimated tokens and cost of each player, and call nobody.")
@search_options(required=False)
@click.option(
    "--stop-on-hit",
    type=click.IntRange(min=1),
    metavar="K",
    help="Stop a dialog once the retriever ranks its target K or better.",
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
    seed: list[int],
    cache: Path | None,
    dry_run: bool,
    cost_limit: float | None,
    retriever: str | None,
    retriever_options: tuple[str, ...],
    corpus: Path | None,
    on_broken: str,
    stop_on_hit: int | None,
    **settings: Any,
) -> None:
    """Let a questioner and an answerer talk about images.

    They hold a dialog about each target; the dialogs are written as dialogue JSON. The same command typed
    again goes on where it stopped, and retries the dialogs that failed. Every reply is saved as it comes.
    With --retriever, the dialogs are scored when they are done, as 'chatir score' does.

    Exit codes: 0 done, 1 some dialogs failed (they are named), 2 wrong use or bad input (a rejected key too),
    3 stopped before the cost limit, by an exhausted quota or by a GPU (out of memory, or failed), 130
    interrupted; what came is always saved.
    """
    from chatir.commands.default_name import Side, check_apart, run_files
    from chatir.commands.doctoring.readiness import Wanted, look
    from chatir.commands.dry_running import foresee
    from chatir.datasets.data_folder import default_images, default_targets
    from chatir.models.reply_cache import ReplyCache
    from chatir.plugins import Context, parse_options
    from chatir.retriever.search import Search, corpus_root
    from chatir.simulate.setting import check_cost_limit, check_settings, players_of

    wanted = [
        Wanted("questioners", questioner, parse_options(questioner_options, "-q")),
        Wanted("answerers", answerer, parse_options(answerer_options, "-a")),
    ]
    check_folder(images)
    check_settings(out or Path("run.json"), rounds=settings["rounds"], ask_again=settings["ask_again"], seed=seed[0])
    check_limit(limit)
    check_cost_limit(cost_limit)
    if dry_run and stop_on_hit is not None:
        raise InputError("a dry run foresees no hits; without --stop-on-hit it tells the most that the run can take")
    if retriever is None and (retriever_options or corpus is not None or stop_on_hit is not None):
        raise InputError("-r, --corpus and --stop-on-hit go with --retriever NAME; see 'chatir list retrievers'")
    files: list[Callable[[], object]] = [lambda: is_there(targets) if targets is not None else default_targets()]
    if retriever is not None:
        wanted.append(Wanted("retrievers", retriever, parse_options(retriever_options, "-r")))
        files.append(lambda: corpus_there(corpus))
    root = corpus_root(corpus, images) or default_images()
    ready = look(wanted, images=root, files=files[dry_run:], cost_limit=cost_limit)
    if dry_run:
        read = read_targets(targets or default_targets(), limit, image_template)
        if retriever is not None:
            check_in_list(list(read), corpus, root, str(read.path))
        foresee(ready, read, Context(root, None, note), out=out, seeds=seed, settings=settings)
        return
    check_ready(ready)
    read = read_targets(targets or default_targets(), limit, image_template)
    with ExitStack() as stack:
        search = None if retriever is None else Search.of(retriever, retriever_options, corpus, images, on_broken)
        if search is not None:
            stack.callback(search.close)
        replies = None if cache is None else stack.enter_context(closing(ReplyCache(cache, note=note)))
        context = Context(root, replies, note)
        asking, answering = (each.one.plugin.build(each.wanted.options, context) for each in ready.looked[:2])
        if search is not None:  # what could end in an error later does so before anybody is asked
            search.check_corpus(list(read), str(read.path))
        observer, stops = None, list[str | Side]()
        if search is not None and stop_on_hit is not None:
            observer = search.observer(stop_on_hit)
            stops = [f"stop-on-hit={stop_on_hit}", Side.of(wanted[-1], search.identity)]
        named = run_files(out, players_of(asking, answering, observer), wanted[:2], seed, settings, stops)
        check_apart(named.values(), read.path)
        failed = 0
        for each, file in named.items():
            settings |= {"images": context.images, "cost_limit": cost_limit, "observer": observer}
            summary = _run(read, asking, answering, out=file, seed=each, **settings)
            failed += len(summary.failed)
            if search is not None and summary.dialogs:
                _score(search, file, settings["rounds"], stop_on_hit)
    if failed:
        note(f"{failed} dialogs failed and are left out; the same command tries them again")
        raise click.exceptions.Exit(1)


def _run(read: Targets, asking: object, answering: object, **settings: Any) -> RunSummary:
    """One run, and what is told of it."""
    from chatir.simulate import simulate as run_simulation
    from chatir.simulate.summary import summary_text

    out: Path = settings["out"]
    before = file_sha256(out) if out.is_file() and not settings["fresh"] else None
    with shown_progress(sys.stderr) as report:
        summary = run_simulation(read, asking, answering, report=report, note=note, **settings)
    if before is not None and not summary.new_replies and before == file_sha256(out):
        note("this run was complete; its dialogue file is written again")
    name_failures(summary.failed, f"; all are in {summary.run_file}")
    say(summary_text(summary))
    return summary


def _score(search: Search, file: Path, rounds: int, stop_on_hit: int | None) -> None:
    """Score what a run wrote, and tell what stopping at hits has saved."""
    from chatir.retriever.score_table import curve_text

    k = 10 if stop_on_hit is None else stop_on_hit
    scores = search.score(file, None)
    say(curve_text(scores, [k]))
    if stop_on_hit is not None:
        most = rounds * scores.ranks.shape[1]
        saved = most - int((scores.ranks[1:] > 0).sum())
        say(f"  stopping at Hits@{k} saved {saved:,} of {most:,} questions ({100 * saved / most:.0f}%)")
