"""HTTP clients as what sends one request: httpx, httpx2, aiohttp, or the caller's own.

A sender makes one exchange and nothing more: it neither retries nor follows redirects nor limits time but that of
connecting, because the core does. It tells the head of the answer and each part of the body as they come.
"""

from __future__ import annotations

import importlib
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from ._errors import UsageError

CONNECT_TIMEOUT = 5.0
"""The most that making a connection may take, in seconds."""
SILENCE_MAX = 300.0
"""Seconds without a byte after which an answer is given up: longer than any hold and any stream's heartbeat. A thread
can't be told that nothing waits for it any more."""
_PLAIN = ("accept-encoding", "identity")
"""A compressed answer grows a million times over while it is read, before its size can be looked at."""

Headers = Sequence[tuple[str, str]]


class Answer:
    """Where a sender tells what comes."""

    __slots__ = ("chunk", "head")

    def __init__(self, head: Callable[[int, Headers], None], chunk: Callable[[bytes], None]) -> None:
        self.head: Callable[[int, Headers], None] = head
        """Called once, with the status and the headers."""
        self.chunk: Callable[[bytes], None] = chunk
        """Called with each part of the body."""


class Broken(Exception):
    """Raised by a sender when no answer came, or only a part of one.

    `how` is `connect` where the request surely never reached the server, `final` where it can't be sent at all, else
    `lost`, as which every other exception counts.
    """

    def __init__(self, how: Literal["connect", "lost", "final"], why: str) -> None:
        super().__init__(why)
        self.how: Literal["connect", "lost", "final"] = how


@runtime_checkable
class Transport(Protocol):
    """What sends requests without async. It is called on threads of the client's, for several requests at once."""

    def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Sends a request and tells its answer, up to the body's end."""


@runtime_checkable
class AsyncTransport(Protocol):
    """What sends requests. Cancelling the call must end the exchange."""

    async def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        """Sends a request and tells its answer, up to the body's end."""


def how_broken(error: BaseException) -> tuple[Literal["connect", "lost", "final"], str]:
    """How an exchange broke, and a line about it."""
    text = str(error) or type(error).__name__
    return (error.how if isinstance(error, Broken) else "lost"), text


def _library(client: object, name: str) -> str | None:
    """Which library's client it is, by its own class or those that it is derived from."""
    for kind in type(client).__mro__:
        root = kind.__module__.partition(".")[0]
        if kind.__name__ == name and root in ("httpx", "httpx2", "aiohttp"):
            return root
    return None


def _check_plain(headers: Any) -> None:
    encoding = headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise Broken("lost", f"the answer is compressed ({encoding[:20]!r}), which was not asked for")


class _HttpxErrors:
    """Which exceptions of httpx mean what."""

    def __init__(self, library: str) -> None:
        self.module: Any = importlib.import_module(library)
        self.timeout = self.module.Timeout(SILENCE_MAX, connect=CONNECT_TIMEOUT)
        self.connect = (self.module.ConnectError, self.module.ConnectTimeout, self.module.ProxyError)
        self.final = (self.module.UnsupportedProtocol, self.module.InvalidURL)

    def broken(self, error: Exception, url: str) -> Broken:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if isinstance(error, self.connect):
            return Broken("connect", f"{text} ({_way(url)})")
        return Broken("final" if isinstance(error, self.final) else "lost", text)


def _proxy(to: urllib.parse.SplitResult) -> str | None:
    """The proxy that the environment names for an address."""
    # It takes longer to import than all of this package.
    from urllib import request

    proxies = request.getproxies()
    proxy = proxies.get(to.scheme) or proxies.get("all")
    if not proxy or request.proxy_bypass(to.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _way(url: str) -> str:
    """Where a connection was to be made to, and the proxy that the environment names for it. No secret is in it."""
    to = urllib.parse.urlsplit(url)
    proxy = _proxy(to)
    if proxy is None:
        return _place(to)
    return f"{_place(to)}; the environment names the proxy {_place(urllib.parse.urlsplit(proxy))}"


def _place(url: urllib.parse.SplitResult) -> str:
    return f"{url.scheme}://{url.netloc.rpartition('@')[2]}"


class _AsyncHttpx:
    def __init__(self, client: Any, library: str) -> None:
        self._client = client
        self._errors = _HttpxErrors(library)

    async def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        errors = self._errors
        try:
            async with self._client.stream(
                method,
                url,
                headers=[*headers, _PLAIN],
                content=body or None,
                timeout=errors.timeout,
                follow_redirects=False,
            ) as response:
                _check_plain(response.headers)
                answer.head(response.status_code, list(response.headers.multi_items()))
                async for chunk in response.aiter_bytes():
                    answer.chunk(chunk)
        except Broken:
            raise
        except Exception as error:
            raise errors.broken(error, url) from error


class _Httpx:
    def __init__(self, client: Any, library: str) -> None:
        self._client = client
        self._errors = _HttpxErrors(library)

    def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        errors = self._errors
        try:
            with self._client.stream(
                method,
                url,
                headers=[*headers, _PLAIN],
                content=body or None,
                timeout=errors.timeout,
                follow_redirects=False,
            ) as response:
                _check_plain(response.headers)
                answer.head(response.status_code, list(response.headers.multi_items()))
                for chunk in response.iter_bytes():
                    answer.chunk(chunk)
        except (_GaveUp, Broken):
            raise
        except Exception as error:
            raise errors.broken(error, url) from error


class _Aiohttp:
    def __init__(self, session: Any, *, finds_proxies: bool = False) -> None:
        self._session = session
        self._finds_proxies = finds_proxies
        self._aiohttp: Any = importlib.import_module("aiohttp")
        self._yarl: Any = importlib.import_module("yarl")

    async def exchange(self, method: str, url: str, headers: Headers, body: bytes, answer: Answer) -> None:
        aiohttp = self._aiohttp
        to = self._yarl.URL(url, encoded=True)
        proxy = None
        if self._finds_proxies and to.host not in _THIS_MACHINE:
            found = _proxy(urllib.parse.urlsplit(url))
            # It speaks to no others.
            proxy = found if found and found.startswith("http") else None
        try:
            async with self._session.request(
                method,
                to,
                headers=[*headers, _PLAIN],
                data=body or None,
                allow_redirects=False,
                raise_for_status=False,
                proxy=proxy,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            ) as response:
                _check_plain(response.headers)
                answer.head(response.status, list(response.headers.items()))
                async for chunk in response.content.iter_any():
                    answer.chunk(chunk)
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            raise Broken("connect", f"{type(error).__name__}: {error}") from error
        except aiohttp.InvalidURL as error:
            raise Broken("final", f"{type(error).__name__}: {error}") from error


class _GaveUp(Exception):
    """Raised within a sender's call of `head` or `chunk` when nothing waits for the answer any more."""


GaveUp = _GaveUp


def adapt_async(http: Any) -> AsyncTransport:
    """The caller's HTTP client as a transport."""
    library = _library(http, "AsyncClient")
    if library in ("httpx", "httpx2"):
        return _AsyncHttpx(http, library)
    if _library(http, "ClientSession") == "aiohttp":
        return _Aiohttp(http)
    if isinstance(http, AsyncTransport):
        return http
    raise UsageError(
        f"http={type(http).__name__} can't send: give an AsyncClient of httpx or httpx2, a ClientSession of aiohttp, "
        "or an object with `async def exchange(method, url, headers, body, answer)`"
    )


def adapt(http: Any) -> Transport:
    """The caller's HTTP client as a transport without async."""
    library = _library(http, "Client")
    if library in ("httpx", "httpx2"):
        return _Httpx(http, library)
    if isinstance(http, Transport) and not _library(http, "AsyncClient"):
        return http
    raise UsageError(
        f"http={type(http).__name__} can't send: give a Client of httpx or httpx2, or an object with "
        "`def exchange(method, url, headers, body, answer)`"
    )


_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
"""Never looked for behind the proxy that the environment names."""
_DIRECT: dict[str, Any] = {f"all://{f'[{host}]' if ':' in host else host}": None for host in _THIS_MACHINE}
_NONE = 'no HTTP client is installed: pip install "abide-client[http]", or give one by http='


def default_async() -> tuple[AsyncTransport, Callable[[], Any]]:
    """A transport of our own, and what closes it."""
    for library in ("httpx2", "httpx"):
        try:
            module: Any = importlib.import_module(library)
        except ImportError:
            continue
        # The core bounds the requests: where nothing waits for a connection, nothing leaks one when it is cancelled.
        limits = module.Limits(max_connections=None, max_keepalive_connections=32)
        client = module.AsyncClient(limits=limits, mounts=_DIRECT)
        return _AsyncHttpx(client, library), client.aclose
    try:
        aiohttp: Any = importlib.import_module("aiohttp")
    except ImportError:
        raise UsageError(_NONE) from None

    # Not by its `trust_env`, under which an entry of `~/.netrc` stands before our key.
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    return _Aiohttp(session, finds_proxies=True), session.close


def default() -> tuple[Transport, Callable[[], Any]]:
    """A transport of our own without async, and what closes it."""
    for library in ("httpx2", "httpx"):
        try:
            module: Any = importlib.import_module(library)
        except ImportError:
            continue
        limits = module.Limits(max_connections=None, max_keepalive_connections=32)
        client = module.Client(limits=limits, mounts=_DIRECT)
        return _Httpx(client, library), client.close
    raise UsageError(_NONE)
