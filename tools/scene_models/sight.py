"""Lessons in seeing: what a vision transformer and a Q-Former name, patch by patch, before they learn language.

The heads that name things are thrown away afterwards. Naming positions matters: without it the rest stalls,
because nothing tells a patch, or a query, which part of the picture it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from chatir.datasets.scenes.world import BACKGROUNDS, COLORS, PLACES, SHAPES, SIZES, Scene
from tools.scene_models.pictures import PATCH, SIDE

EMPTY = 0
PATCHES = (SIDE // PATCH) ** 2


def contents(some: Sequence[Scene]) -> torch.Tensor:
    """What stands at each place [scenes, places, 3]: numbers of shape, color and size, `EMPTY` for nothing."""
    numbers = torch.zeros(len(some), len(PLACES), 3, dtype=torch.long)
    for row, scene in enumerate(some):
        for thing in scene.things:
            seen = (SHAPES.index(thing.shape), COLORS.index(thing.color), SIZES.index(thing.size))
            numbers[row, PLACES.index(thing.place)] = torch.tensor(seen) + 1
    return numbers


def backgrounds(some: Sequence[Scene]) -> torch.Tensor:
    """Numbers of the backgrounds [scenes]."""
    return torch.tensor([BACKGROUNDS.index(scene.background) for scene in some])


def colors_there(some: Sequence[Scene]) -> torch.Tensor:
    """Whether anything is of each color [scenes, colors], as 0 and 1."""
    there = [[any(thing.color == color for thing in scene.things) for color in COLORS] for scene in some]
    return torch.tensor(there, dtype=torch.float)


class Naming(nn.Module):
    """Names, from one vector a place, what stands there; from another the background; and each vector's own index."""

    def __init__(self, width: int, vectors: int) -> None:
        super().__init__()
        self.content = nn.ModuleList(nn.Linear(width, 1 + len(values)) for values in (SHAPES, COLORS, SIZES))
        self.background = nn.Linear(width, len(BACKGROUNDS))
        self.index = nn.Linear(width, vectors)

    def loss(
        self, places: torch.Tensor, whole: torch.Tensor, each: torch.Tensor, some: Sequence[Scene]
    ) -> torch.Tensor:
        """Cross entropies; places [scenes, places, width], whole [scenes, width], each [scenes, vectors, width]."""
        truth = contents(some)
        named = sum(
            cross_entropy(head(places).flatten(0, 1), truth[..., kind].flatten())
            for kind, head in enumerate(self.content)
        )
        index = torch.arange(each.shape[1]).repeat(each.shape[0])
        return (
            named
            + cross_entropy(self.background(whole), backgrounds(some))
            + 0.3 * cross_entropy(self.index(each).flatten(0, 1), index)
        )


class PatchNaming(Naming):
    """Names what a vision transformer's patches show: each place is the mean of its patches."""

    def __init__(self, width: int) -> None:
        super().__init__(width, PATCHES)

    def forward(self, states: torch.Tensor, some: Sequence[Scene]) -> torch.Tensor:
        """The loss of states [scenes, 1 + PATCHES, width], the class token first."""
        patches = states[:, 1:]
        side = SIDE // PATCH
        grid = patches.unflatten(1, (3, side // 3, 3, side // 3)).mean(dim=(2, 4)).flatten(1, 2)
        return self.loss(grid, states[:, 0], patches, some)


class QueryNaming(Naming):
    """Names what a Q-Former's queries saw: query i the place i, the next ones background, colors and number."""

    def __init__(self, width: int, queries: int) -> None:
        super().__init__(width, queries)
        self.colors = nn.Linear(width, len(COLORS))
        self.number = nn.Linear(width, len(PLACES))

    def forward(self, queries: torch.Tensor, some: Sequence[Scene]) -> torch.Tensor:
        """The loss of queries [scenes, queries, width]."""
        background, colors, number = queries[:, len(PLACES) : len(PLACES) + 3].unbind(1)
        return (
            self.loss(queries[:, : len(PLACES)], background, queries, some)
            + binary_cross_entropy_with_logits(self.colors(colors), colors_there(some))
            + cross_entropy(self.number(number), torch.tensor([len(scene.things) for scene in some]))
        )
