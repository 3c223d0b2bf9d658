"""The report: a comparison as one HTML file that opens from disk, with a browser of its dialogs."""

from chatir.compare.report.page import write_report

__all__ = ["write_report"]
