"""The connection to an endpoint: its address, the proxy it takes, what it sends, and how much of a reply it reads."""

from __future__ import annotations

import errno
import ipaddress
import json
import os
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from chatir import __version__
from chatir.errors import InputError
from chatir.models import patience
from chatir.models.chat.transport.errors import brief, status_error
from chatir.models.chat.transport.keys import hidden
from chatir.models.chat.transport.retry import RequestError

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

OPENAI_URL = "https://api.openai.com/v1"
MOST_BYTES = 8 * 2**20
"""Bytes of a reply, once decompressed; more is no reply to a request for a question or ten."""
_MOST_OF_AN_ERROR = 2**16
_PERMANENT = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, socket.EAI_NONAME})
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net")


@dataclass(frozen=True)
class Address:
    """A base URL, without a slash at its end."""

    url: str

    @classmethod
    def of(cls, given: str | None) -> Address:
        """The URL given, else that of `OPENAI_BASE_URL`, else OpenAI's. Raises InputError for one that is invalid."""
        url = (given if given is not None else os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).strip()
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError as error:
            raise InputError(f"base_url: {hidden(url)!r}: {error}") from None
        if parts.username or parts.password or parts.query or parts.fragment:
            raise InputError(
                "base_url: is recorded, so it must hold no password or query; keys go into the environment, "
                "and parameters such as api-version into the option query"
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"base_url: {url!r} is no address like http://127.0.0.1:8000/v1")
        return cls(url.rstrip("/"))

    @property
    def official(self) -> bool:
        """Whether the host is OpenAI's own, in any of its regions."""
        host = urlsplit(self.url).hostname or ""
        return host == "api.openai.com" or host.endswith(".api.openai.com")

    @property
    def trusted(self) -> bool:
        """Whether OpenAI's key may go there: to OpenAI, encrypted."""
        return self.official and self.url.startswith("https://")


@dataclass(frozen=True)
class Proxy:
    """A proxy that the environment names. variable: the name of its variable; address: as the client takes it."""

    variable: str
    address: str

    def __str__(self) -> str:
        parts = urlsplit(self.address)
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        return f"{self.variable}={shown}"


def proxy_for(url: str) -> Proxy | None:
    """The proxy through which the environment sends requests to a URL; None for none, as always on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address or is_loopback(host) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    names = (name for scheme in (parts.scheme, "all") for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()))
    variable = next((name for name in names if os.environ.get(name)), "the system's proxy")
    return Proxy(variable, address if "://" in address else f"http://{address}")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class Connection:
    """Posts chat requests to one URL. Redirects are refused, and no reply is read beyond `MOST_BYTES`.

    key: sent in the header that the host wants, None for none. timeout: seconds for a request and its reply together,
    without those in which this process is stopped. Raises InputError where no client can be built: an unknown kind of
    proxy, a file of certificates that is missing.
    """

    def __init__(self, url: str, query: Mapping[str, str], key: str | None, timeout: float) -> None:
        import httpx2

        try:
            self._url = httpx2.URL(f"{url}/chat/completions", params=dict(query) or None)
        except httpx2.InvalidURL as error:
            raise InputError(f"base_url: {url!r}: {brief(str(error))}") from None
        self._proxy = proxy_for(url)
        self._through = f" through the proxy {self._proxy}" if self._proxy else ""
        self._timeout = timeout
        self._client = _client(headers_for(url, key), self._proxy)

    async def post(self, body: Mapping[str, Any]) -> bytes:
        """Send a request and return the body of its reply. Raises RequestError for whatever else comes back."""
        import httpx2

        sent = False

        async def trace(event: str, info: object) -> None:
            nonlocal sent
            sent = sent or event.startswith("http11.send_request_body")

        try:
            # Bounded as a whole: the client's own time-outs do not see a reply that drips.
            async with (
                patience.timeout(self._timeout),
                self._client.stream(
                    "POST", self._url, content=json.dumps(body).encode(), extensions={"trace": trace}
                ) as response,
            ):
                good = response.is_success
                read = await _read(response, MOST_BYTES if good else _MOST_OF_AN_ERROR, whole=good)
        except TimeoutError:
            raise RequestError("timeout", f"no reply in time{self._through}", lost=sent) from None
        except httpx2.TransportError as error:
            raise self._broken(error, sent=sent) from None
        if not good:
            raise status_error(response.status_code, response.headers, read, str(self._url.copy_with(query=None)))
        return read

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _broken(self, error: Exception, *, sent: bool) -> RequestError:
        causes = [*_causes(error)]
        system = [each for each in causes if isinstance(each, OSError) and each.errno]
        untrusted = any(isinstance(each, ssl.SSLError) for each in causes)
        permanent = not sent and not _PERMANENT.isdisjoint(each.errno for each in system)
        kind = "unreachable" if untrusted or permanent else "connection"
        told = next((str(each) for each in reversed(causes) if str(each)), type(error).__name__)
        if system and not untrusted:  # asyncio's own words hold addresses: [Errno 111] Connect call failed (...)
            number = system[-1].errno or 0
            told = (os.strerror(number) if number > 0 else str(system[-1].strerror)).lower()
        return RequestError(kind, f"the connection failed{self._through}: {brief(told)}", lost=sent)


def headers_for(url: str, key: str | None) -> dict[str, str]:
    """The headers of each request to a base URL, with the key as its host wants it."""
    headers = {"accept": "application/json", "accept-encoding": "gzip", "content-type": "application/json"}
    headers["user-agent"] = f"chatir/{__version__}"
    if key is None:
        return headers
    azure = (urlsplit(url).hostname or "").endswith(_AZURE)
    return headers | ({"api-key": key} if azure else {"authorization": f"Bearer {key}"})


def _client(headers: Mapping[str, str], proxy: Proxy | None) -> AsyncClient:
    import httpx2

    try:
        context = httpx2.create_ssl_context()
    except (OSError, ValueError) as error:
        named = (f"{name}={os.environ[name]}" for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name))
        raise InputError(f"{next(named, 'certificates')}: cannot be used: {error}; correct or unset it") from None
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    address = None if proxy is None else proxy.address
    try:
        _ = address and urlsplit(address).port  # a ValueError for one that is none
        # The proxy is chosen by `proxy_for`, and `Connection.post` bounds the time.
        timeout = httpx2.Timeout(None)
        return httpx2.AsyncClient(
            headers=headers, verify=context, proxy=address, trust_env=False, timeout=timeout, limits=limits
        )
    except ImportError:
        raise InputError(f"{proxy}: a SOCKS proxy needs another package: pip install 'httpx2[socks]'") from None
    except (ValueError, httpx2.InvalidURL) as error:
        raise InputError(f"{proxy}: is not a proxy that can be used: {brief(str(error))}") from None


async def _read(response: Response, most: int, *, whole: bool) -> bytes:
    """The body, decompressed, up to `most` bytes. whole: more of it is an error, raised as RequestError."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip", "deflate"):
        if not whole:
            return b""  # the status says enough
        raise RequestError("broken_reply", f"the reply is encoded as {brief(encoding)}, not as asked for", lost=True)
    inflate = None if encoding in ("identity", "") else zlib.decompressobj(wbits=47)  # gzip or zlib, by its header
    body = bytearray()
    async for chunk in response.aiter_raw():
        while chunk and len(body) <= most:
            if inflate is None:
                body += chunk[: most + 1 - len(body)]
                break
            try:
                body += inflate.decompress(chunk, most + 1 - len(body))
            except zlib.error:
                if not whole:
                    return bytes(body)
                raise RequestError("broken_reply", "the reply cannot be decompressed", lost=whole) from None
            chunk = inflate.unconsumed_tail
        if len(body) > most:
            if whole:
                raise RequestError("broken_reply", f"the reply is longer than {most / 2**20:.0f} MiB", lost=True)
            break
    return bytes(body[:most])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, and the members of groups among them."""
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop(0)
        yield one
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
        waiting += [each for each in (one.__cause__ or one.__context__,) if each is not None]
