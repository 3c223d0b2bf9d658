"""Exports for notebooks: the dialogs and ranks of a run as tables, or as a Hugging Face dataset."""

from chatir.run.export.export import export

__all__ = ["export"]
