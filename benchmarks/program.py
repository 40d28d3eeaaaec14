"""A program in C that is asked in lines, and answers in lines of whole numbers."""

import asyncio
import contextlib
from asyncio.subprocess import PIPE
from types import TracebackType
from typing import Self

from benchmarks.native import compiled
from benchmarks.processes import cpu_s


class Program:
    """A program of this folder, from ``start`` to the end of the context.

    Args:
        source: the C file.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def start(self, *arguments: object, wait_s: float) -> list[int]:
        """Start it, and return the numbers that it begins with.

        Raises:
            TimeoutError: it has not begun in time.
            RuntimeError: it has ended.
        """
        self._process = await asyncio.create_subprocess_exec(
            compiled(self._source), *map(str, arguments), stdin=PIPE, stdout=PIPE
        )
        return await self._line(wait_s)

    async def ask(self, question: str, wait_s: float = 10) -> list[int]:
        """Return the numbers that it answers.

        Raises:
            TimeoutError: it has not answered in time.
            RuntimeError: it has ended, or was not started.
        """
        if self._process is None or self._process.stdin is None:
            raise RuntimeError(f"{self._source} was not started")
        self._process.stdin.write(question.encode() + b"\n")
        return await self._line(wait_s)

    async def read(self, size: int) -> bytes:
        """Return so many bytes of what it says after a line."""
        return await self._reader.readexactly(size)

    def cpu_s(self) -> float:
        """Return the seconds of CPU that it has used."""
        return 0.0 if self._process is None else cpu_s(self._process.pid)

    async def _line(self, wait_s: float) -> list[int]:
        try:
            async with asyncio.timeout(wait_s):
                line = await self._reader.readuntil()
        except TimeoutError:
            raise TimeoutError(f"{self._source}: no answer in {wait_s:g} s") from None
        except asyncio.IncompleteReadError:
            raise RuntimeError(f"{self._source} has ended") from None
        return [int(number) for number in line.split()]

    @property
    def _reader(self) -> asyncio.StreamReader:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError(f"{self._source} was not started")
        return self._process.stdout
