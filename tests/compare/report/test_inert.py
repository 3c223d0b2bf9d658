"""Texts in scripts' data and in markup stay texts."""

from __future__ import annotations

import base64
import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from chatir.compare.report.inert import readable, script_data, security_policy

TEXTS = st.text() | st.sampled_from(["</script>", "<!--<script>", "]]>", "&lt;", "\u2028", "\ud800", "\0"])


@given(st.recursive(TEXTS, lambda some: st.lists(some) | st.dictionaries(TEXTS, some)))
def test_data_of_scripts_are_read_back_and_hold_no_markup(value):
    text = script_data(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set(text) & set("<>&")


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_readable_can_be_written_and_has_no_controls(text):
    shown = readable(text)
    shown.encode("utf-8")
    assert len(shown) == len(text)
    assert not [c for c in shown if ord(c) < 32 and c not in "\t\n"]


def test_the_policy_names_the_hashes_of_style_and_script_and_allows_nothing_inline():
    policy = dict(rule.split(" ", 1) for rule in security_policy("a { }", "1 < 2").split("; "))
    digest = base64.b64encode(hashlib.sha256(b"1 < 2").digest()).decode()
    assert policy["script-src"] == f"'sha256-{digest}'"
    assert policy["style-src"].startswith("'sha256-")
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["img-src"] == "data:"
