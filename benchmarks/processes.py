"""The processes under measurement: each pinned to a core, stopped by its id, its CPU time read."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
ROOT: Final = Path(__file__).parent.parent
CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = CORES[0]
LOAD_CORE: Final = CORES[-1]

_STARTUP_S: Final = 60.0
_STOP_S: Final = 15.0
_NANOSECONDS: Final = 1e9


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def pin(core: int) -> None:
    """Keep this process, and what it starts, on one core."""
    os.sched_setaffinity(0, {core})


@contextmanager
def on(core: int) -> Iterator[None]:
    """Start processes on a core, all their threads included."""
    mine = os.sched_getaffinity(0)
    pin(core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


class Process:
    """A server on a port of its own, pinned to a core.

    From its second start on one in Python finds its modules compiled, as an installed one does.

    Args:
        command: what to run; ``{port}`` stands for the port, ``{folder}`` for a folder of its own.
        core: where to run it.
        environment: further variables; filled in like the command.
        files: text of files that the folder holds, by name; filled in like the command.
    """

    def __init__(
        self,
        command: Sequence[str],
        core: int,
        environment: dict[str, str] | None = None,
        files: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="jobcast-bench-")
        self._command = [self._filled_in(part) for part in command]
        self._core = core
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)
        inherited["PYTHONPYCACHEPREFIX"] = _bytecode().name
        given = {name: self._filled_in(value) for name, value in (environment or {}).items()}
        self._environment = {**inherited, **given}
        self._process: subprocess.Popen[bytes] | None = None
        for name, text in (files or {}).items():
            (Path(self._folder.name) / name).write_text(self._filled_in(text))

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def cpu_s(self) -> float:
        """Return the seconds of CPU that the process and its children have used."""
        return sum(map(cpu_s, self._family()))

    def rss_kib(self) -> int:
        """Return the resident memory of the process and its children."""
        return sum(map(_rss_kib, self._family()))

    def __enter__(self) -> Self:
        log = Path(self._folder.name) / "output"
        with on(self._core), log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + _STARTUP_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                said = log.read_text(errors="replace").strip().splitlines()[-1:]
                self._folder.cleanup()
                raise RuntimeError(f"{self._command[0]} did not start: {' '.join(said)}")
            time.sleep(0.05)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()
        self._folder.cleanup()

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            children = self._family()[1:]
            self._process.kill()
            self._process.wait()
            for pid in children:
                os.kill(pid, signal.SIGKILL)

    def _family(self) -> list[int]:
        listing = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [self.pid, *map(int, listing.read_text().split())]

    def _filled_in(self, text: str) -> str:
        return text.replace("{port}", str(self.port)).replace("{folder}", self._folder.name)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex((HOST, self.port)) == 0


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process, to the nanosecond: ``stat`` has 10 ms only."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / _NANOSECONDS


def busy_s(core: int) -> float:
    """Return the seconds that a core was not idle, or taken away by the host, to some 10 ms."""
    lines = Path("/proc/stat").read_text().splitlines()
    user, nice, system, _idle, _wait, *others = next(
        map(int, line.split()[1:9]) for line in lines if line.startswith(f"cpu{core} ")
    )
    return (user + nice + system + sum(others)) / os.sysconf("SC_CLK_TCK")


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jobcast-bench-")


def _rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
