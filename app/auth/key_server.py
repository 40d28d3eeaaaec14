"""Fetching of a key set over HTTP, in a separate thread.

A key server may stall or send slowly at any stage: TLS handshake, head or body. So each fetch is
limited in time and size, and at its deadline its sockets are shut down, which ends every stage.
"""

import asyncio
import http.client
import re
import socket
import ssl
import threading
import urllib.request
from contextlib import suppress
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from app.auth.keys import Keys, read_key_set

FETCH_S: Final = 5.0
SILENCE_S: Final = 3.0
"""Timeout of each connect and each read. Shorter than ``FETCH_S``, so that several addresses of a
host can be tried."""

MAX_BYTES: Final = 512 * 1024
_URL: Final = re.compile(r"https?://[!-~]+", re.IGNORECASE)
_REDIRECTS: Final = range(300, 400)


def is_url(text: str) -> bool:
    """Return whether a text is a URL rather than a path."""
    return text.lower().startswith(("http://", "https://"))


class KeyServer:
    """A key set at a URL.

    Args:
        url: the trusted address. Redirects are not followed, as they could lead to another one.
        algorithms: the accepted signing algorithms.

    Raises:
        ValueError: the URL is invalid.
    """

    def __init__(self, url: str, algorithms: frozenset[str]) -> None:
        parts = urlsplit(url)  # raises ValueError on unbalanced brackets
        if _URL.fullmatch(url) is None or not parts.hostname:
            raise ValueError("no URL of a key set")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL with a user or a password is not supported")
        if parts.port == 0:  # reading it raises ValueError on an invalid port
            raise ValueError("port 0")
        self.name = f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may hold a secret
        self._url = url
        self._algorithms = algorithms
        self._context: ssl.SSLContext | None = None
        self._thread: threading.Thread | None = None

    async def fetch(self) -> Keys:
        """Fetch the current keys.

        Raises:
            OSError: the server is unavailable.
            ValueError: the document is not a key set, or none of its keys can verify a token.
        """
        if self._thread is not None and self._thread.is_alive():
            raise TimeoutError("an earlier fetch has not ended, it waits for the network")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Keys] = loop.create_future()
        connections = _Connections()

        def resolve(keys: Keys | None, error: Exception | None) -> None:
            if answer.done():
                return
            if keys is not None:
                answer.set_result(keys)
            elif error is not None:
                answer.set_exception(error)

        def work() -> None:
            keys, failure = None, None
            try:
                keys = read_key_set(self._download(connections), self._algorithms)
            except Exception as error:  # noqa: BLE001 - the awaiting task raises it
                failure = error
            with suppress(RuntimeError):  # the event loop may have ended
                loop.call_soon_threadsafe(resolve, keys, failure)

        # A daemon thread, so that a stalled server does not delay the exit of the process.
        self._thread = threading.Thread(target=work, name="key set", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(FETCH_S):
                return await answer
        except TimeoutError:
            raise TimeoutError(f"no whole answer within {FETCH_S:g} s") from None
        finally:
            connections.cut()

    def _download(self, connections: "_Connections") -> bytes:
        if self._context is None and self._url.lower().startswith("https:"):
            self._context = ssl.create_default_context()
        opener = urllib.request.build_opener(
            _Http(connections), _Https(connections, self._context), _NoRedirect()
        )
        headers = {"Accept": "application/json", "User-Agent": "Jobcast"}
        request = urllib.request.Request(self._url, headers=headers)  # noqa: S310 - http(s) alone
        try:
            with opener.open(request, timeout=SILENCE_S) as answer:
                body: bytes = answer.read(MAX_BYTES + 1)
        except HTTPError as error:
            error.close()
            followed = ", which is not followed" if error.code in _REDIRECTS else ""
            raise ConnectionError(f"status {error.code}{followed}") from None
        except URLError as error:
            raise ConnectionError(str(error.reason)) from None
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP: {type(error).__name__}") from None
        if len(body) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return body


class _Connections:
    """The connections of one fetch, which another thread can shut down at any stage."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] | None = []

    def open(self, address: tuple[str, int], *options: Any) -> socket.socket:  # noqa: ANN401 - theirs
        """Do what ``socket.create_connection`` does, and register the socket for ``cut``."""
        connection = socket.create_connection(address, *options)
        with self._lock:
            if self._sockets is None:
                connection.close()
                raise TimeoutError("too late")
            # Wrapping a socket in TLS detaches it, but not its duplicate.
            self._sockets.append(connection.dup())
        return connection

    def track(self, connection: Any) -> Any:  # noqa: ANN401 - a connection of http.client
        """Make a connection open its socket by ``open``, which precedes its TLS handshake."""
        connection._create_connection = self.open  # noqa: SLF001 - there is no public hook
        return connection

    def cut(self) -> None:
        """Shut down all sockets; pending calls on them fail."""
        with self._lock:
            sockets, self._sockets = self._sockets, None
        for connection in sockets or ():
            with suppress(OSError):  # already disconnected
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


class _Http(urllib.request.HTTPHandler):
    def __init__(self, connections: _Connections) -> None:
        super().__init__()
        self._connections = connections

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind: Any = self._connection  # typeshed requires parameters that urllib never passes
        return self.do_open(kind, req)

    def _connection(self, host: str, *, timeout: float) -> Any:  # noqa: ANN401 - as typeshed has it
        return self._connections.track(http.client.HTTPConnection(host, timeout=timeout))


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, connections: _Connections, tls: ssl.SSLContext | None) -> None:
        super().__init__(context=tls)
        self._connections = connections
        self._tls = tls

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        kind: Any = self._connection  # typeshed requires parameters that urllib never passes
        return self.do_open(kind, req)

    def _connection(self, host: str, *, timeout: float) -> Any:  # noqa: ANN401 - as typeshed has it
        made = http.client.HTTPSConnection(host, timeout=timeout, context=self._tls)
        return self._connections.track(made)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Return None, so that a redirect fails like any other error status."""
