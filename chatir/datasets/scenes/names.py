"""What players and retrievers with a built-in model are called wherever a name is shown.

Run files keep the names that players declare, `BLIP2` for one that is built in as for any other: by these and the
model's hash a run is known again. People read `scenes:blip2`, so that nobody takes one for the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

BUILT_IN = "scenes:"
"""What names of the built-in models begin with; no hub id holds a colon."""

DIGESTS = {
    "8eca68e81f4d373233c2a517d2dffb88a3216e1fa6532fe4517c6839ca083634": "blip2",
    "11f5a4798a3671926cf0c980bd28a843f7978d4e16c4ec0905c2baa97f938ae2": "clip",
    "7230a17710abdbfb54b00af84d89553d425481ce856ee63cbb2f3ba37fd873fe": "t5",
    "7315ed26d38f94a280ad2212e2b47a07c74134356de8c9ddd6fc4b06b84cd440": "t5",
}
"""Which model a folder holds, by its hash (`chatir.models.local.loading.folder_sha256`).

A model that is trained again gets a line of its own; older lines stay, by which older runs are known.
"""


def shown_name(name: str, config: Mapping[str, Any]) -> str:
    """The name of a player or retriever of this configuration: `scenes:blip2` for `BLIP2` with the built-in model.

    Only the part of a name that is about the model is replaced; a name that says something else is as it was declared.
    """
    model: Any = config.get("model")
    if (built_in := _built_in(model)) is None:
        return name
    own = re.sub(r"[^\w.-]", "_", model["id"])  # as players spell it that are named after their model
    of_model = "|".join(map(re.escape, (built_in.removeprefix(BUILT_IN), own)))
    return re.sub(rf"(^|_)(?:{of_model})$", rf"\1{built_in}", name, flags=re.IGNORECASE)


def shown_model(model: Mapping[str, Any]) -> str:
    """The name of a model by what it is recorded as: its `id`, or `scenes:blip2` and the like."""
    return _built_in(model) or str(model["id"])


def shown_config(config: Any) -> Any:
    """A recorded configuration, with the names in it as they are shown."""
    if isinstance(config, list):
        return [shown_config(value) for value in config]
    if not isinstance(config, Mapping):
        return config
    shown = {key: shown_config(value) for key, value in config.items()}
    if (built_in := _built_in(config)) is not None:
        shown["id"] = built_in
    if isinstance(name := config.get("name"), str) and isinstance(own := config.get("config"), Mapping):
        shown["name"] = shown_name(name, own)
    return shown


def built_in_models(config: Any) -> Iterator[str]:
    """The built-in models that a configuration holds, wherever in it."""
    if (built_in := _built_in(config)) is not None:
        yield built_in
    elif isinstance(config, Mapping | list):
        for value in config.values() if isinstance(config, Mapping) else config:
            yield from built_in_models(value)


def _built_in(model: Any) -> str | None:
    """`scenes:blip2` and the like for the record of a built-in model, None for anything else."""
    if not isinstance(model, Mapping) or not isinstance(model.get("id"), str):
        return None
    name = DIGESTS.get(str(model.get("sha256")))
    return name and f"{BUILT_IN}{name}"
