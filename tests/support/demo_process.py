"""The demo and the command ``dev`` as a newcomer starts them, with their child processes."""

import itertools
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.starting import is_up

ROOT: Final = Path(__file__).parents[2]
STARTUP_SECONDS: Final = 40.0
STOP_SECONDS: Final = 40.0

_NUMBERS: Final = itertools.count()


class LauncherProcess:
    """One launcher: ``with LauncherProcess(command, data) as launcher``.

    The block begins once the launcher has printed the address of its page. At the end of the block
    the test fails if the launcher does not exit with 0 on Ctrl-C, or leaves a process behind.

    Args:
        command: Python module with arguments.
        data: folder of its data and logs.
        settings: environment variables.
    """

    def __init__(self, command: Sequence[str], data: Path, **settings: str) -> None:
        unset = ("REDIS_URL", "JWT_SECRET")
        inherited = {
            k: v for k, v in os.environ.items() if k not in unset and not k.startswith("JOBCAST_")
        }
        self._command = [sys.executable, "-m", *command]
        self._environment = {**inherited, **settings}
        self._data = data
        # A separate file for each, since a test may start two demos on one folder.
        self._log = data.with_name(f"{data.name}-{next(_NUMBERS)}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def printed(self) -> str:
        """Return the output of the launcher so far."""
        return self._log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Return the address of the page, without a trailing slash."""
        return self._printed(r"Page +(http://[^/\s]+)/")

    @property
    def page(self) -> str:
        """Return the address of the page as printed, with the first job and its session."""
        return self._printed(r"Page +(http://\S+)")

    @property
    def logs(self) -> str:
        """Return the logs of the child processes."""
        return "".join(log.read_text(errors="replace") for log in self._data.glob("*.log"))

    @property
    def processes(self) -> list[int]:
        """Return the ids of its running processes: all in the session that it leads."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(ValueError, ProcessLookupError):
                if os.getsid(int(entry.name)) == self._running().pid:
                    found.append(int(entry.name))
        return found

    def press_ctrl_c(self) -> int:
        """Interrupt it like a terminal, and return its exit code."""
        process = self._running()
        os.killpg(process.pid, signal.SIGINT)
        return process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        if not is_up(self._process, lambda: "Ctrl-C stops it" in self.printed, STARTUP_SECONDS):
            self._kill()
            raise RuntimeError(f"it did not start: {self.printed}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            code = self._running().poll()
            if code is None:
                code = self.press_ctrl_c()
            left = self.processes
        finally:
            self._kill()
        if error is None and (code != 0 or left):
            raise RuntimeError(f"it exited with {code} and left {left}: {self.printed}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("this launcher was not started")
        return self._process

    def _printed(self, pattern: str) -> str:
        found = re.search(pattern, self.printed)
        if found is None:
            raise RuntimeError(f"it has not printed {pattern!r}: {self.printed}")
        return found[1]

    def _kill(self) -> None:
        for pid in self.processes:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._running().wait()


class DemoProcess(LauncherProcess):
    """``python -m demo``; ``files`` is the folder that its jobs may read."""

    def __init__(self, data: Path, files: Path, **settings: str) -> None:
        folders = {"JOBCAST_DEMO_DATA": str(data), "JOBCAST_FILES_ROOT": str(files)}
        super().__init__(["demo"], data, **folders, **settings)
        self.files = files

    @property
    def session(self) -> str:
        """Return the session that owns the demo's first job."""
        return self._printed(r"x-session-id: ([^']+)")

    @property
    def first_job(self) -> str:
        """Return the id of the demo's first job."""
        return self._printed(r"/jobs/([^/]+)/stream")


class DevProcess(LauncherProcess):
    """``jobcast-service dev``."""

    def __init__(self, data: Path, *arguments: str, **settings: str) -> None:
        super().__init__(
            ["app.dev.command", "dev", "--data", str(data), *arguments], data, **settings
        )

    @property
    def token(self) -> str:
        """Return the token that it prints."""
        return self._printed(r"Token +(\S+)")

    @property
    def redis_url(self) -> str:
        """Return the address of Redis that it prints."""
        return self._printed(r"Redis +(\S+)")

    @property
    def snippet(self) -> str:
        """Return the Python program that it prints."""
        return textwrap.dedent(self._printed(r"(?s)jobcast\):\n\n(.+?)\n\nIn your"))
