"""The loop: targets in, a run file while it works, dialogue JSON out."""

from chatir.dialogue_json import read_dialogs, write_dialogs
from chatir.simulate.simulate import simulate
from chatir.simulate.summary import RunSummary
from chatir.simulate.targets import Targets

__all__ = ["RunSummary", "Targets", "read_dialogs", "simulate", "write_dialogs"]
