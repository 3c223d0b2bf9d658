"""Keys and addresses in the environment: set or not, hosts only; and their removal from all that is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chatir.commands.doctoring.finding import Finding
from chatir.errors import InputError
from chatir.models.chat.transport.keys import HIDDEN, SHORTEST, key_of

KEY = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"
TOKEN = "HF_TOKEN"  # noqa: S105 - its name
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$", re.IGNORECASE)
_HOST = re.compile(r"[a-z0-9._:-]+", re.IGNORECASE)


def key_findings(login: Path | None) -> list[Finding]:
    """Keys and addresses of endpoints and of the hub. login: the file in which the hub keeps a token."""
    findings = [_key(), _base_url(os.environ.get(BASE_URL)), _token(login)]
    for name in PROXIES:
        if value := os.environ.get(name) or os.environ.get(name.lower()):
            place = _place(value) if _like_an_address(value) else None
            findings.append(Finding(name, "ok", f"set ({place or 'no address that can be read'})"))
    return findings


def _base_url(url: str | None) -> Finding:
    if not url:
        return Finding(BASE_URL, "ok", "not set: OpenAI's own")
    if place := host(url):
        return Finding(BASE_URL, "ok", f"set ({place})")
    place = _place(url) if _like_an_address(url) else None
    told = f"set ({place}), but" if place else "set, but"
    told += " is no address that starts with http:// or https:// and holds no password or query"
    return Finding(BASE_URL, "needs", told, ((f"export {BASE_URL}=http://127.0.0.1:8000/v1",),))


def _key() -> Finding:
    mend = f"export {KEY}=..."
    try:
        if key_of(KEY) is None:
            return Finding(KEY, "optional", "not set; for OpenAI's models, and servers that want one", ((mend,),))
    except InputError:
        return Finding(KEY, "needs", "set, but holds a character that no key has", ((mend,),))
    return Finding(KEY, "ok", "set")


def _token(login: Path | None) -> Finding:
    if os.environ.get(TOKEN):
        return Finding(TOKEN, "ok", "set")
    kept = login is not None and login.is_file()
    more = "'hf auth login' left one" if kept else "models that chatir names need none"
    return Finding(TOKEN, "ok", f"not set; {more}")


def host(url: str) -> str | None:
    """Host and port of an endpoint, None for what is no address, or holds more than may be recorded."""
    if "@" in url or "?" in url or "#" in url or not url.startswith(("http://", "https://")):
        return None
    return _place(url)


def _like_an_address(value: str) -> bool:
    """Whether it has the marks of an address; a key that was put into the wrong variable has none, and is not shown."""
    return "://" in value or "." in value or ":" in value


def _place(url: str) -> str | None:
    """Host and port of an address, which may hold a password; None where they cannot be told from it for sure."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name or not _HOST.fullmatch(name) or "@" in parts.path + parts.query + parts.fragment:
        return None
    return name if port is None else f"{name}:{port}"


def secrets(environment: Mapping[str, str]) -> list[str]:
    """What must not be shown: values of variables named as keys are, and what stands before the @ of addresses."""
    found = set()
    for name, value in environment.items():
        if _SECRET.search(name):
            found |= {value, value.strip()}
        if "://" in value and "@" in value:
            before = value.partition("://")[2].rpartition("@")[0]
            found |= {before, before.rpartition(":")[2], unquote(before.rpartition(":")[2])}
    return sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)


def redacted(text: str, known: Iterable[str]) -> str:
    """The text with `[key]` in the place of each secret, in whatever case a parser left it."""
    for secret in known:
        text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    return text
