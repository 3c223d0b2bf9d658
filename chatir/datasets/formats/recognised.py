"""Files of captions and targets that chatir knows and does not read: what they are, and what to do about it."""

from __future__ import annotations

import re
from typing import Any

_TABLE = "write its captions as a table with the columns image and caption (and id, where an image has several)"
_NUMBERED = re.compile(r"\S+\.(?:jpe?g|png)#\d+\t", re.IGNORECASE)
"""A line of Flickr8k's and Flickr30k's own files: `1001.jpg#0`, a tab, a caption."""

READ = "chatir reads dialogue JSON, VisDial JSON, and JSON lines or tables with image and caption"
"""What targets are read from."""


def recognised(content: Any) -> str | None:
    """What a JSON document, or a line of JSON lines, is that is not read as targets; None if it is not known."""
    match content:
        case {"images": [{"sentences": list()}, *_]}:
            return _not_read("Karpathy's split of a caption data set")
        case {"annotations": [{"caption": str()}, *_]}:
            return _not_read("COCO captions")
        case {"annotations": list(), "images": list()}:
            return "is COCO annotations without captions: name the captions_*.json beside it"
        case [{"image": str(), "caption": list()}, *_]:
            return _not_read("a list of images with several captions each, as LAVIS and BLIP have it")
        case [{"image_id": int(), "dialog": list()}, *_]:
            return "is a flat list of VisDial dialogs: not read yet; the official VisDial JSON is read"
        case [{"candidate": str(), "captions": list()}, *_]:
            return "is FashionIQ, for composed retrieval: not read yet"
        case [{"reference": str(), "caption": str()}, *_]:
            return "is CIRR, for composed retrieval: not read yet"
        case {"file_name": str()}:
            return _metadata()
    return None


def recognised_line(line: str) -> str | None:
    """What a text file with this first line is that is not read as targets; None if it is not known."""
    columns = [column.strip(' "\r\n') for column in re.split(r"[,;\t|]", line)]
    if columns == ["image_name", "comment_number", "comment"]:
        return _not_read("Flickr30k's results.csv")
    if _NUMBERED.match(line):
        return _not_read("Flickr captions, numbered by #0 to #4")
    return _metadata() if "file_name" in columns else None


def _not_read(what: str) -> str:
    return f"is {what}: not read yet; {_TABLE}"


def _metadata() -> str:
    return (
        "is metadata of an image folder, as Hugging Face's datasets have it: not read yet; rename file_name to image, "
        "and its text to caption"
    )
