"""The whole examination: every section looked at, nothing asked of the network, no secret in what is found."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from chatir.commands.doctoring.data import ELSEWHERE, LAVIS, data_findings, has_images, lavis_findings
from chatir.commands.doctoring.finding import Finding, looked_at, without_home
from chatir.commands.doctoring.keys import BASE_URL, key_findings, redacted, secrets
from chatir.commands.doctoring.machine import REINSTALL, Machine, machine, machine_findings
from chatir.commands.doctoring.models import MODELS
from chatir.commands.doctoring.packages import package_findings, versions
from chatir.commands.doctoring.players import Loaded, load_all, player_finding, registered_twice
from chatir.commands.doctoring.weights import ELSEWHERE as HUB
from chatir.commands.doctoring.weights import OFFLINE, cache_findings, is_offline
from chatir.errors import InputError
from chatir.plugins import KINDS, Kind


@dataclass(frozen=True)
class Section:
    """Findings of one sort."""

    name: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Examination:
    """Everything that was looked at. packages: versions, None for what is not installed."""

    machine: Machine
    packages: dict[str, str | None]
    sections: tuple[Section, ...]

    @property
    def gaps(self) -> int:
        """How many findings are gaps; each has a line that mends it."""
        return sum(finding.gap for section in self.sections for finding in section.findings)

    @property
    def ready(self) -> dict[str, list[str]]:
        """Names of the players and retrievers that can run here as they are, by kind."""
        return {
            section.name: [finding.what for finding in section.findings if finding.state == "ok"]
            for section in self.sections
            if section.name in KINDS
        }


def examine() -> Examination:
    """Look at everything."""
    with _offline() as was_offline:
        here = machine()
        kinds = {kind: _loaded(kind) for kind in KINDS}
        loaded = [each for found in kinds.values() for each in found if isinstance(each, Loaded)]
        looks: dict[str, tuple[str, Callable[[], Sequence[Finding]]]] = {
            "machine": (REINSTALL, lambda: machine_findings(here)),
            "packages": ("pip install --upgrade chatir", lambda: package_findings(here.torch.cuda)),
            "data": (ELSEWHERE, data_findings),
            "lavis": (LAVIS, lavis_findings),
            "keys": (f"unset {BASE_URL}", lambda: key_findings(_login())),
            "hub": (HUB, lambda: cache_findings(_models(loaded), _tokenizers(loaded), offline=was_offline)),
        }
        images = has_images()
        sections = [Section(name, looked_at(name, mend, look)) for name, (mend, look) in looks.items()]
        sections += [Section(kind, _players(found, here, images)) for kind, found in kinds.items()]
        known = versions()
    hidden = secrets(os.environ)
    here = replace(here, torch=replace(here.torch, said=redacted(here.torch.said, hidden)))
    return Examination(here, known, tuple(_without(hidden, section) for section in sections))


def _loaded(kind: Kind) -> Sequence[Loaded | Finding]:
    try:
        return load_all(kind)
    except InputError as error:
        return [registered_twice(kind, error)]


def _players(found: Sequence[Loaded | Finding], here: Machine, images: bool) -> tuple[Finding, ...]:
    """A line for each plugin of a kind."""
    failed = [each for each in found if isinstance(each, Finding)]
    players = [each for each in found if isinstance(each, Loaded)]
    looked = [_player(each, players, here, images) for each in players]
    return (*failed, *(finding for findings in looked for finding in findings))


def _player(one: Loaded, players: Sequence[Loaded], here: Machine, images: bool) -> tuple[Finding, ...]:
    anew = f"pip install --upgrade {one.plugin.distribution}"
    return looked_at(one.plugin.name, anew, lambda: [player_finding(one, players, here, images=images)])


def _models(loaded: Sequence[Loaded]) -> list[str]:
    """Models that are taken unless told otherwise, each once."""
    named = [each.options.model_fields["model"] for each in loaded if each.options and issubclass(each.options, MODELS)]
    return [*dict.fromkeys(field.default for field in named if isinstance(field.default, str))]


def _tokenizers(loaded: Sequence[Loaded]) -> list[str]:
    """Tokenizers that are taken unless told otherwise, by checkpoints that come without one."""
    fields = [each.options.model_fields.get("tokenizer") for each in loaded if each.options]
    return [*dict.fromkeys(field.default for field in fields if field and isinstance(field.default, str))]


def _login() -> Path:
    from huggingface_hub.constants import HF_TOKEN_PATH

    return Path(HF_TOKEN_PATH)


@contextmanager
def _offline() -> Iterator[bool]:
    """Nobody in this process asks the hub while the context lasts; yields whether that was so before."""
    before = os.environ.get(OFFLINE)
    os.environ[OFFLINE] = "1"
    try:
        yield is_offline(before)
    finally:
        if before is None:
            del os.environ[OFFLINE]
        else:
            os.environ[OFFLINE] = before


def _without(hidden: Sequence[str], section: Section) -> Section:
    """The section without any secret or name of a home, whoever let it slip into a text."""

    def clean(text: str) -> str:
        return redacted(without_home(text), hidden)

    return Section(
        section.name,
        tuple(
            replace(
                each,
                what=clean(each.what),
                detail=clean(each.detail),
                mends=tuple(tuple(redacted(line, hidden) for line in lines) for lines in each.mends),
            )
            for each in section.findings
        ),
    )
