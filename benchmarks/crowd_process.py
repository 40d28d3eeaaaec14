"""A crowd in a process of its own: one process may not have enough files for all viewers."""

import asyncio
import multiprocessing
from array import array
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Final, NamedTuple, Self

import uvloop

from benchmarks.viewers import Crowd

_CONTEXT: Final = multiprocessing.get_context("spawn")
_JOIN_S: Final = 180
_STOP_S: Final = 15


class Seen(NamedTuple):
    """What a crowd has seen: ages in nanoseconds, streams refused and lost."""

    ages_ns: "array[int]"
    refused: int
    lost: int


class CrowdProcess:
    """Viewers that join as the context is entered, and leave as it ends.

    Args:
        port: of the server.
        requests: one whole HTTP request for each viewer.
        ready_mark: what in an answer says that the viewer is live.
    """

    def __init__(self, port: int, requests: Sequence[bytes], ready_mark: bytes) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=_attend, args=(theirs, port, requests, ready_mark), daemon=True
        )

    async def joined(self) -> float:
        """Return the seconds that it took until all viewers were live.

        Raises:
            TimeoutError: they never were.
        """
        if not await asyncio.to_thread(self._pipe.poll, _JOIN_S):
            raise TimeoutError("viewers that said nothing")
        took = self._pipe.recv()
        if not isinstance(took, float):
            raise TimeoutError(took)
        return took

    async def count(self) -> int:
        """Return how many events came since the crowd was asked for what it had seen."""
        self._pipe.send("count")
        count: int = await asyncio.to_thread(self._pipe.recv)
        return count

    async def seen(self) -> Seen:
        """Return what came since this was asked before, and forget it."""
        self._pipe.send("seen")
        seen: Seen = await asyncio.to_thread(self._pipe.recv)
        return seen

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _attend(pipe: Connection, port: int, requests: Sequence[bytes], ready_mark: bytes) -> None:
    uvloop.run(_answer(pipe, Crowd(port, requests, ready_mark)))


async def _answer(pipe: Connection, crowd: Crowd) -> None:
    try:
        pipe.send(await crowd.join(wait_s=_JOIN_S))
        while True:
            question = await asyncio.to_thread(pipe.recv)
            if question == "count":
                pipe.send(len(crowd.ages_ns))
            else:
                pipe.send(Seen(crowd.ages_ns, crowd.refused, crowd.lost))
                crowd.ages_ns = array("q")
    except TimeoutError as error:
        pipe.send(str(error))
    except EOFError:
        crowd.leave()
