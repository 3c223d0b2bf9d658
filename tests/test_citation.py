"""CITATION.cff tells how to cite what is installed, in the Citation File Format 1.2.0."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from chatir import __version__

PROJECT = Path(__file__).parents[1]

# Of its rules (schema 1.2.0), those for the keys that are used here.
TEXT = {"type": "string", "minLength": 1}
PERSON = {
    "type": "object",
    "properties": {"given-names": TEXT, "family-names": TEXT},
    "required": ["family-names"],
    "additionalProperties": False,
}
ENTITY = {"type": "object", "properties": {"name": TEXT}, "required": ["name"], "additionalProperties": False}
AUTHORS = {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"anyOf": [PERSON, ENTITY]}}
IDENTIFIER = {
    "type": "object",
    "properties": {"type": {"enum": ["doi", "other", "swh", "url"]}, "value": TEXT, "description": TEXT},
    "required": ["type", "value"],
    "additionalProperties": False,
}
REFERENCE = {
    "type": "object",
    "properties": {
        "type": {"enum": ["article", "book", "conference-paper", "data", "dataset", "proceedings", "software"]},
        "title": TEXT,
        "authors": AUTHORS,
        "year": {"type": "string", "pattern": "^[0-9]{4}$"},
        "collection-title": TEXT,
        "volume": {"type": "string", "pattern": "^[0-9]+$"},
        "conference": ENTITY,
        "identifiers": {"type": "array", "minItems": 1, "uniqueItems": True, "items": IDENTIFIER},
        "url": {"type": "string", "pattern": "^(https|http|ftp|sftp)://.+"},
    },
    "required": ["type", "title", "authors"],
    "additionalProperties": False,
}
CITATION = {
    "type": "object",
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": TEXT,
        "type": {"enum": ["software", "dataset"]},
        "title": TEXT,
        "abstract": TEXT,
        "authors": AUTHORS,
        "version": TEXT,
        "date-released": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        "license": TEXT,
        "keywords": {"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT},
        "references": {"type": "array", "minItems": 1, "uniqueItems": True, "items": REFERENCE},
    },
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
}


def check(citation: dict[str, Any]) -> None:
    Draft202012Validator(CITATION, format_checker=FormatChecker()).validate(citation)


@pytest.fixture(scope="module")
def citation() -> dict[str, Any]:
    """The file with every value as it is written: a version is no number, a date is text."""
    return yaml.load((PROJECT / "CITATION.cff").read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def test_the_file_keeps_the_rules_of_its_format(citation: dict[str, Any]) -> None:
    check(citation)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda citation: citation.pop("authors"),
        lambda citation: citation.update({"cff-version": "1.3.0"}),
        lambda citation: citation.update({"date-released": "2026-13-22"}),
        lambda citation: citation.update({"licence": "MIT"}),
        lambda citation: citation["authors"].append({"family": "Levy"}),
        lambda citation: citation["references"][0].pop("title"),
        lambda citation: citation["references"][0].update({"url": "arxiv.org/abs/2305.20062"}),
    ],
)
def test_a_file_that_breaks_a_rule_is_found_out(
    citation: dict[str, Any], spoil: Callable[[dict[str, Any]], object]
) -> None:
    spoilt = copy.deepcopy(citation)
    spoil(spoilt)
    with pytest.raises(ValidationError):
        check(spoilt)


def test_what_is_cited_is_this_package(citation: dict[str, Any]) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == __version__
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert citation["authors"] == project["authors"]
    assert citation["keywords"] == project["keywords"]


def test_the_paper_comes_first_and_every_paper_has_its_arxiv_number_twice(citation: dict[str, Any]) -> None:
    first, *_ = citation["references"]
    assert first["title"] == "Chatting Makes Perfect: Chat-based Image Retrieval"
    assert [author["family-names"] for author in first["authors"]] == ["Levy", "Ben-Ari", "Darshan", "Lischinski"]
    for reference in citation["references"]:
        (identifier,) = reference["identifiers"]
        number = identifier["value"].removeprefix("arXiv:")
        assert reference["url"] == f"https://arxiv.org/abs/{number}"
