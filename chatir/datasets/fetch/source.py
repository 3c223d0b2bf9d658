"""Where files come from: the address that all their paths start from, and the error when it gives nothing."""

from __future__ import annotations

from urllib.parse import urlsplit

from chatir.errors import ChatirError, InputError


class FetchError(ChatirError):
    """The source did not give what was asked for; everything fetched before is kept."""


def base_address(base_url: str) -> str:
    """The address with one slash at its end, so that a relative path can follow.

    Raises InputError for one that is not of HTTP or HTTPS, or holds a password, a query or a fragment.
    """
    try:
        url = urlsplit(base_url)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    # Messages name the address, so what it must not show cannot be in it; nor is a bad one repeated.
    if not usable or "@" in url.netloc or url.query or url.fragment:
        raise InputError("--base-url: must be an http:// or https:// address without password, query or fragment")
    return base_url.rstrip("/") + "/"
