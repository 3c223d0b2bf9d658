"""What keeps texts in a page from becoming part of it: escapes for scripts' data, and the page's security policy."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&"}

_PICTURES_OF_CONTROLS = {
    code: chr(0x2400 + code) if code < 0x20 else "\N{REPLACEMENT CHARACTER}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))
    if chr(code) not in "\t\n"
}


def script_data(value: Any) -> str:
    """JSON that can stand in a script element, whatever its texts hold: ASCII, and no character that is markup."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPES)


def readable(text: object) -> str:
    """A text without what HTML cannot hold: controls are shown by their pictures, half surrogate pairs replaced."""
    return str(text).translate(_PICTURES_OF_CONTROLS)


def security_policy(style: str, script: str) -> str:
    """A policy under which a page has exactly this style and this script, pictures of its own, and nothing else.

    No request leaves the page, no text becomes markup by a script (trusted types), no form is sent.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def data_uri(kind: str, content: bytes) -> str:
    """Content as an address that holds it. kind: its media type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
