"""The loop: targets in, a run file while it works, dialogue JSON out."""

from chatir.datasets.dialogue_json import read_dialogs, write_dialogs
from chatir.datasets.targets import Targets
from chatir.simulate.simulate import simulate
from chatir.simulate.summary import RunSummary

__all__ = ["RunSummary", "Targets", "read_dialogs", "simulate", "write_dialogs"]
