"""The official VisDial JSON, versions 0.9 and 1.0: questions and answers in tables, images by number."""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatir.datasets.formats.rows import Row, Strict, validated
from chatir.dialog import Dialog, Round, text_problem
from chatir.errors import InputError

VISDIAL_IMAGE = "unlabeled2017/{image_id:012d}.jpg"
"""Where ChatIR's corpus keeps an image of VisDial v1.0."""

VISDIAL_09_IMAGE = "{folder}/COCO_{folder}_{{image_id:012d}}.jpg"
"""Where COCO's archives of 2014 keep an image of VisDial v0.9, whose splits are COCO's."""


class _Round(Strict):
    question: int
    answer: int | None = None


class _Dialog(Strict):
    image_id: int
    caption: str
    dialog: list[_Round]


class _Data(Strict):
    questions: list[str]
    answers: list[str]
    dialogs: list[_Dialog]


class _VisDial(Strict):
    data: _Data


def is_visdial(content: Any) -> bool:
    """Whether a JSON object is meant to be VisDial's: its tables are in `data`."""
    data = content.get("data") if isinstance(content, dict) else None
    return isinstance(data, dict) and not data.keys().isdisjoint(_Data.model_fields)


def visdial_targets(content: Any, path: Path, template: str | None) -> Iterator[Dialog]:
    """The targets of VisDial JSON, with what people said.

    template: of an image's path, None for where the file's version and split have it. Raises InputError for what is
    wrong in it, naming the field.
    """
    data = validated(_VisDial, content, f"{path}: VisDial JSON").data
    template = _image_template(content, path) if template is None else template
    for name, table in (("questions", data.questions), ("answers", data.answers)):
        for number, text in enumerate(table):
            if problem := text_problem(text):
                raise InputError(f"{path}: data.{name}.{number} {problem}")
    questions = [text if text.rstrip().endswith("?") else f"{text.rstrip()}?" for text in data.questions]
    for number, dialog in enumerate(data.dialogs):
        where = f"{path}: data.dialogs.{number}"
        # The last question of a test dialog has no answer yet: nobody said that round.
        said = tuple(
            Round(
                _at(questions, turn.question, f"{where}: question"), _at(data.answers, turn.answer, f"{where}: answer")
            )
            for turn in dialog.dialog
            if turn.answer is not None
        )
        image = image_from_template(template, dialog.image_id)
        yield replace(Row(image=image, caption=dialog.caption).target(where), said=said)


def _image_template(content: dict[str, Any], path: Path) -> str:
    """Where a file's images are, going by its version and split. Raises InputError where these do not tell."""
    if content.get("version") != "0.9":
        return VISDIAL_IMAGE
    folders = {"train": "train2014", "val": "val2014"}
    if (split := content.get("split")) not in folders:
        raise InputError(
            f"{path}: VisDial JSON of version 0.9 with the split {split!r}, which is neither 'train' nor 'val': "
            "name the images with --image-template"
        )
    return VISDIAL_09_IMAGE.format(folder=folders[split])


def _at(table: list[str], index: int, where: str) -> str:
    if not 0 <= index < len(table):
        raise InputError(f"{where} {index} is not in the table of {len(table)}")
    return table[index]


def image_from_template(template: str, image_id: int) -> str:
    """Make an image path of a VisDial image number. Raises InputError unless the template names just `{image_id}`."""
    try:
        parts = list(string.Formatter().parse(template))
        fields = {name for _, name, _, _ in parts if name is not None}
        fields |= {spec for _, _, spec, _ in parts if spec and "{" in spec}
        if fields != {"image_id"}:
            raise ValueError(f"it names {sorted(fields)}")
        return template.format(image_id=image_id)
    except (ValueError, OverflowError, MemoryError) as error:
        raise InputError(
            f"image template {template!r}: {str(error) or 'too long'}; it must name {{image_id}}, as {VISDIAL_IMAGE!r}"
        ) from None
