"""Python modules in processes of their own, most of them forked from one that is warm.

A new interpreter imports for a second of CPU time what a service needs. The tests start hundreds of
them, so one process imports it once, and each of the others is its fork.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

from tests.support.starting import Process

ROOT: Final = Path(__file__).parents[2]
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        __name__,
        *("hypercorn.run", "hypercorn.asyncio.run", "uvloop", "app"),
        *("worker.service", "demo.checksum", "jobcast.bridge", "uvicorn.main"),
    ]
)
_OF_INTERPRETERS: Final = ("PYTHON", "LD_", "MALLOC_", "LC_", "LANG", "TZ")
"""Beginnings of the variables that a process reads as it starts."""
_END_SECONDS: Final = 60.0


def start_module(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    strict: bool = False,
    under: Sequence[str] = (),
) -> Process:
    """Start ``python -m`` with arguments in this tree; its output is appended to a log.

    It is a fork, unless another program runs it, or its environment asks for an interpreter that
    starts in another way.

    Args:
        arguments: the module, and its arguments.
        environment: all of its variables.
        log: file for what it prints.
        strict: whether its warnings are errors (``-W error``).
        under: a program that runs another, with its arguments.
    """
    if not under and _of_interpreter(environment) == _of_interpreter(os.environ):
        return _Fork(arguments, environment, log, strict=strict)
    options = ("-W", "error") if strict else ()
    with log.open("ab") as output:
        return subprocess.Popen(
            [*under, sys.executable, *options, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def run_module(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run ``python -m`` with arguments to its end; return the exit code and what it printed."""
    with tempfile.NamedTemporaryFile("r", prefix="jobcast-module-") as output:
        log = Path(output.name)
        process = start_module(arguments, environment=environment, log=log)
        try:
            return process.wait(_END_SECONDS), log.read_text()
        except subprocess.TimeoutExpired as late:
            process.kill()
            late.add_note(log.read_text())
            raise


def _of_interpreter(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(_OF_INTERPRETERS)}


class _Fork:
    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, *, strict: bool
    ) -> None:
        self._arguments = arguments
        log.touch()
        given = (arguments, dict(environment), log)
        # A daemon ends with this process.
        self._process = ForkServerProcess(
            target=_run, args=given, kwargs={"strict": strict}, daemon=True
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._arguments, timeout)
        return code

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _run(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path, *, strict: bool
) -> None:
    """Be ``python -m`` with arguments."""
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for standard in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(output, standard)
    os.close(output)
    if strict:
        warnings.simplefilter("error")
    module, *options = arguments
    sys.argv = [module, *options]
    sys.path.insert(0, str(ROOT))
    runpy.run_module(module, run_name="__main__", alter_sys=True)
