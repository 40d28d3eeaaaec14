"""A server that publishes a key set, and can misbehave in all the ways that servers do."""

import socket
import socketserver
import threading
from collections.abc import Callable
from typing import Any, Final

from tests.support.starting import Started
from tests.support.valkey import HOST

_BLOCK: Final = b"x" * 65536
Behaviour = Callable[[socket.socket], None]


class KeyServer(Started):
    """Publishes a text, or handles each connection by a given function.

    ``with KeyServer(text) as server:`` starts it; ``requests`` counts the connections.
    """

    def __init__(self, text: str = "") -> None:
        self.requests = 0
        self.publish(text)
        self._over = threading.Event()
        self._port = 0
        self._server: socketserver.ThreadingTCPServer | None = None

    @property
    def url(self) -> str:
        """Return the URL of the key set."""
        return f"http://{HOST}:{self._port}/jwks.json?key=hidden"

    def publish(self, text: str) -> None:
        """Publish a text from now on."""
        body = text.encode()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def answer(self, data: bytes) -> None:
        """Respond with these bytes from now on."""
        self.behave(lambda connection: connection.sendall(data))

    def behave(self, behaviour: Behaviour, *, reads: bool = True) -> None:
        """Handle each connection by a function; ``reads``: after its request has been read."""
        self._behaviour, self._reads = behaviour, reads

    def mute(self, *, reads: bool = True) -> None:
        """Never respond."""
        self.behave(lambda _: self._wait(), reads=reads)

    def trickle(self, head: bytes = b"") -> None:
        """Respond endlessly, a byte every 50 ms."""

        def drip(connection: socket.socket) -> None:
            connection.sendall(head)
            while not self._over.wait(0.05):
                connection.sendall(b"1")

        self.behave(drip)

    def pour(self) -> None:
        """Respond endlessly, as fast as possible."""

        def pour(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self._over.is_set():
                connection.sendall(_BLOCK)

        self.behave(pour)

    def start(self) -> None:
        """Listen, on the same port as before."""
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer.requests += 1
                try:
                    if outer._reads:
                        _read_head(self.request)
                    outer._behaviour(self.request)
                except OSError:
                    return  # the client has closed the connection

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

        self._over.clear()
        self._server = Server((HOST, self._port), Handler)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        """Refuse connections."""
        server, self._server = self._server, None
        self._over.set()
        if server is not None:
            server.shutdown()
            server.server_close()

    def _wait(self) -> None:
        self._over.wait()


def _read_head(connection: Any) -> None:  # noqa: ANN401 - a socket, TLS or not
    head = b""
    while b"\r\n\r\n" not in head:
        data = connection.recv(4096)
        if not data:
            raise ConnectionError
        head += data
