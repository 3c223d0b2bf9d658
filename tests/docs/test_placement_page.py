"""What docs/reference/answerers.md says of cards and players is what the placement code computes for such cards.

`PYTHONPATH=.:tests python tests/docs/test_placement_page.py` prints the tables.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from unittest.mock import patch

from docs.pages import PROJECT

from chatir.commands.doctoring.weights import SIZES
from chatir.errors import InputError
from chatir.models.hardware import placement
from chatir.models.hardware.devices import Gpu, freest
from chatir.models.hardware.model_size import ROOM, ModelSize, Precision

PAGE = (PROJECT / "docs" / "reference" / "answerers.md").read_text()
GIB = 2**30
CONTEXT = int(0.5e9)
"""Bytes that CUDA itself takes of a card."""
MEMORY = {"8 GB": 7.8, "12 GB": 11.75, "24 GB": 23.6, "80 GB": 79.1}
"""GiB that torch finds on a card of each kind."""
RETRIEVER = SIZES["Salesforce/blip-itm-base-coco"].room("fp32")
QUESTIONERS = {"no GPU": None, "FLAN XL": SIZES["google/flan-t5-xl"], "FLAN XXL": SIZES["google/flan-t5-xxl"]}
ANSWERERS = {
    "no GPU": None,
    **{name.removeprefix("Salesforce/"): size for name, size in SIZES.items() if "blip2" in name and "6.7" not in name},
}
GIVEN: list[tuple[Precision, Precision]] = sorted(
    product(("auto", "8bit", "4bit"), repeat=2), key=lambda pair: (pair.count("4bit"), pair.count("8bit"), pair)
)
"""What a user may say of the precisions: the less, the better."""


def placed(cards: list[Gpu], size: ModelSize, precision: Precision) -> tuple[str, str] | None:
    """The precision and the cards of a model, whose room is taken; None where it is refused."""
    with patch.object(placement, "gpus", lambda **_: tuple(cards)):
        chosen = placement.chosen_precision(precision, "auto", lambda: size)
        try:
            device = placement.place("a model", lambda: size, chosen, "auto")
        except InputError:
            return None
    taken = range(len(cards)) if device == "auto" else [int(str(device).removeprefix("cuda:"))]
    for number in taken:
        cards[number] = replace(cards[number], free=int(cards[number].room - size.room(chosen) / len(taken)))
    return chosen, "+".join(map(str, taken))


def together(cards: list[Gpu], players: list[ModelSize | None], precisions: tuple[Precision, Precision]) -> str | None:
    """Where both players go, one after the other; None where one of them is refused."""
    told = []
    for size, given in zip(players, precisions, strict=True):
        if size is None:
            if given != "auto":
                return None
            continue
        if (found := placed(cards, size, given)) is None:
            return None
        told.append(found[0] + ("*" if given != "auto" else "") + (f" on {found[1]}" if len(cards) > 1 else ""))
    room = "" if cards[freest(cards)].room >= RETRIEVER else " †"
    return ", ".join(told) + room


def cell(memory: float, count: int, players: list[ModelSize | None]) -> str:
    for precisions in GIVEN:
        size = int(memory * GIB)
        cards = [Gpu("a card", size, size - CONTEXT, "8.6")] * count
        if told := together(cards, players, precisions):
            return told
    return "-"


def table(count: int) -> str:
    rows = [["questioner", "answerer", *(f"{count} x {name}" for name in MEMORY)], ["---"] * 6]
    for (asks, questioner), (answers, answerer) in product(QUESTIONERS.items(), ANSWERERS.items()):
        if questioner or answerer:
            rows.append([asks, answers, *(cell(size, count, [questioner, answerer]) for size in MEMORY.values())])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def largest(memory: float, count: int, questioners: list[str]) -> str:
    """The largest answerer, and the largest of some questioners beside it, that `precision=auto` finds room for."""
    for answers, asks in product(reversed(ANSWERERS), reversed(questioners)):
        found = cell(memory, count, [QUESTIONERS[asks], ANSWERERS[answers]])
        if ANSWERERS[answers] and found != "-" and "*" not in found:
            return f"{answers}: {found}" if QUESTIONERS[asks] is None else f"{asks}, {answers}: {found}"
    return "none"


def summary() -> str:
    none, *beside = QUESTIONERS
    rows = [["GPUs", "the largest answerer", "with a questioner on a GPU too"], ["---"] * 3]
    for count, (name, size) in product((1, 2), MEMORY.items()):
        rows.append([f"{count} x {name}", largest(size, count, [none]), largest(size, count, beside)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_tables_are_what_the_placement_code_computes() -> None:
    for count in (1, 2):
        assert table(count) in PAGE
    assert summary() in (PROJECT / "docs" / "explanation" / "performance.md").read_text()


def test_the_memory_of_the_paper_s_setting_adds_up() -> None:
    size = SIZES["Salesforce/blip2-flan-t5-xxl"]
    rows, layers, width = 16 * 5, 24, 64 * 64
    token = 2 * layers * width * 2
    parts = [size.weights("8bit"), rows * (32 + 20) * token, rows * 10 * token, 0.5e9, CONTEXT]
    card = int(MEMORY["24 GB"] * GIB)
    section = PAGE.partition("#### The largest model on a 24 GB card")[2].partition("### ")[0]
    shown = [line.rsplit("|", 2)[1].strip() for line in section.splitlines() if line.startswith("| ")][2:]
    assert shown == [f"{part / 1e9:.1f}" for part in (*parts, sum(parts), card - sum(parts))]
    assert sum(parts) < size.room("8bit") < card < size.weights("bf16") * ROOM
    for told in (5 * (32 + 20 + 10) * token / 1e9, size.room("8bit") / 1e9, size.room("bf16") / 1e9):
        assert f"{told:.{2 if told < 1 else 1}f} GB" in section


if __name__ == "__main__":
    print(table(1), table(2), summary(), sep="\n\n")
