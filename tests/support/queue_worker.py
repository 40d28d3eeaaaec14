"""A worker of somebody else's queue, as its users start it: a process of its own."""

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
"""Where the program of a package is, if it is not the package itself."""


def as_module(command: str) -> list[str]:
    """Return what ``python -m`` is given to start what a page tells to start."""
    program, *options = shlex.split(command)
    if program == "python":
        return [options[0].removesuffix(".py"), *options[1:]]
    return [_MODULES.get(program, program), *options]


class QueueWorker:
    """``python -m`` and arguments; the block begins once it has printed ``ready``.

    It is ended with its children: they are a process group of their own.
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
        """Return what the process has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and its children at once, as a machine that is lost does."""
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
