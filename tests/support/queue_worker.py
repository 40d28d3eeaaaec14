"""A worker of a third-party queue in a separate process, as its users start it."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.starting import is_up

ROOT: Final = Path(__file__).parents[2]
STOP_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 60.0
_MODULES: Final = {"rq": "rq.cli"}
"""Modules of packages that ``python -m`` can't run by their own name."""


def as_module(command: str) -> list[str]:
    """Return the arguments of ``python -m`` for a command from the documentation."""
    program, *options = shlex.split(command)
    if program == "python":
        return [options[0].removesuffix(".py"), *options[1:]]
    return [_MODULES.get(program, program), *options]


class QueueWorker:
    """``python -m`` with arguments; the block begins once the process has printed ``ready``.

    It forms a process group with its children, which are stopped with it.
    """

    def __init__(self, *arguments: str, ready: str, folder: Path = ROOT, **settings: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
        path = os.pathsep.join(filter(None, [str(folder), str(ROOT), inherited.get("PYTHONPATH")]))
        self.environment = {**inherited, "PYTHONPATH": path, **settings}
        self._command = [sys.executable, "-m", *arguments]
        self._ready = ready
        self._folder = folder
        logs = tempfile.mkdtemp(prefix="jobcast-worker-")
        weakref.finalize(self, shutil.rmtree, logs, ignore_errors=True)
        self._log = Path(logs) / "worker.log"

    @property
    def log(self) -> str:
        """Return the output of the process so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def kill(self) -> None:
        """Kill the process and its children, like a machine that crashes."""
        os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        return self._process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            assert is_up(self._process, lambda: self._ready in self.log, PATIENCE_SECONDS), self.log
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        if error is not None:
            error.add_note(self.log)

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
