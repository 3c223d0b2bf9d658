"""An examination for programs, and for bug reports."""

from __future__ import annotations

import json
from dataclasses import asdict

from chatir import __version__
from chatir.commands.doctoring.examination import Examination
from chatir.commands.doctoring.table import DEMO

SCHEMA = "chatir.commands.doctoring/1"


def as_json(found: Examination) -> str:
    """The examination as JSON of that schema: sizes in bytes, null for what is not known or not installed.

    A finding's `mends` has a list for each thing that is missing: any one line of it mends that.
    """
    content = {
        "schema": SCHEMA,
        "chatir": __version__,
        "machine": asdict(found.machine),
        "packages": found.packages,
        "sections": {section.name: [asdict(finding) for finding in section.findings] for section in found.sections},
        "ready": found.ready,
        "gaps": found.gaps,
        "at_once": DEMO,
    }
    return json.dumps(content, indent=2)
