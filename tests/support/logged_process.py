"""A module of this project in a process that is controlled by signals and writes a log."""

import os
import shutil
import signal
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final

from tests.support.module_process import start_module
from tests.support.starting import Process, is_up

STOP_SECONDS: Final = 30.0


class LoggedProcess:
    """One process that uses a Redis; settings are given by their environment variables.

    The test fails at the end of the block if the process does not exit with 0 on SIGTERM, unless
    the test has killed it.
    """

    patience_s: ClassVar[float]
    """Time limit of ``wait_for_log``."""
    strict: ClassVar[bool] = False
    """Whether its warnings are errors."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        redis_url: str,
        **settings: str,
    ) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
        self._environment = {**inherited, "REDIS_URL": redis_url, **settings}
        self._arguments = arguments
        logs = tempfile.mkdtemp(prefix=f"jobcast-{name}-")
        weakref.finalize(self, shutil.rmtree, logs, ignore_errors=True)
        self._log = Path(logs) / f"{name}.log"
        self._process: Process | None = None

    @property
    def log(self) -> str:
        """Return the output of the process so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the process, without waiting until it is ready."""
        self._process = start_module(
            self._arguments,
            environment=self._environment,
            log=self._log,
            strict=self.strict,
        )

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)

    def wait_for_log(self, *texts: str) -> None:
        """Wait until the process has printed one of these; AssertionError with its log if not."""
        assert self._process is not None

        def has_printed() -> bool:
            return any(text in self.log for text in texts)

        assert is_up(self._process, has_printed, self.patience_s), self.log

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if error is None:
            assert code in (0, -signal.SIGKILL), self.log
