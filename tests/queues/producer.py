"""A program that enqueues the tasks of a queue, in a process with that queue's own packages.

The tests write calls to its standard input, a line of JSON each, and read the answers.
"""

import asyncio
import importlib
import json
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import IO, Any, Final

import jobcast
from tests.support.starting import Started

_READY: Final = "ready"


class Producer(Started):
    """Calls the functions of a module of `tests.queues` in a process of its own."""

    def __init__(self, module: str, folder: str, environment: dict[str, str]) -> None:
        self._command = [sys.executable, "-m", __name__, module]
        self._folder, self._environment = folder, environment
        self._process: subprocess.Popen[str] | None = None

    def enqueue(self, name: str, *arguments: object, owner: str | None = "7") -> str:
        """Enqueue a task, and return its id."""
        return str(self.call("enqueue", name, arguments, owner=owner))

    def call(self, function: str, *arguments: object, owner: str | None = None) -> Any:  # noqa: ANN401
        """Call a function of the module, and return what it returns."""
        process = self._process
        assert process is not None
        _pipe(process.stdin).write(json.dumps([function, arguments, owner]) + "\n")
        _pipe(process.stdin).flush()
        return json.loads(_pipe(process.stdout).readline())

    def start(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert _pipe(self._process.stdout).readline().strip() == _READY

    def close(self) -> None:
        """End the process, which does so by itself when nobody calls any more."""
        if self._process is not None:
            self._process.communicate(timeout=30)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


async def _serve(name: str) -> None:
    module = importlib.import_module(name)
    await module.start()
    _say(_READY)
    while line := await asyncio.to_thread(sys.stdin.readline):
        function, arguments, owner = json.loads(line)
        with _owned_by(owner):
            _say(json.dumps(await getattr(module, function)(*arguments)))
    await module.stop()


def _owned_by(owner: str | None) -> AbstractContextManager[None]:
    return nullcontext() if owner is None else jobcast.owner(user_id=owner)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
