"""Viewers for load: thousands of open streams in a process of their own, see ``crowd.c``."""

import asyncio
import tempfile
import time
from array import array
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from benchmarks.program import Program

_LOOK_S: Final = 0.002
_NS_PER_S: Final = 1e9

Note = Literal["each", "shown"]
"""What viewers note in nanoseconds: the age of each event as it comes; or the age that what they
show has come to, each time before they show newer."""


class Seen(NamedTuple):
    """What a crowd has noted since it was asked before, and how many streams it has lost at all."""

    notes_ns: "array[int]"
    lost: int
    keepalives: int


class Crowd(Program):
    """Viewers of one server, who leave when the context ends.

    Args:
        port: of the server.
        requests: one whole HTTP request for each viewer.
        ready_mark: what in an answer says that the viewer is live.
        note: what they note.

    Attributes:
        refused: connections that were refused or reset, and answers other than 200.
    """

    def __init__(
        self, port: int, requests: Sequence[bytes], ready_mark: bytes, note: Note = "each"
    ) -> None:
        super().__init__("crowd.c")
        self._port = port
        self._requests = requests
        self._ready_mark = ready_mark
        self._note = note
        self.refused = 0

    async def join(self, at_once: int = 200, wait_s: float = 60) -> float:
        """Open all streams; return the seconds until every viewer was live, or refused.

        Args:
            at_once: connections that may be in the making.
            wait_s: when to give up.

        Raises:
            TimeoutError: not all were answered in time.
        """
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(request + b"\0" for request in self._requests))
            file.flush()
            mark = self._ready_mark.decode()
            _, self.refused, took_ns = await self.start(
                self._port, file.name, mark, self._note, at_once, wait_s=wait_s
            )
        return took_ns / _NS_PER_S

    async def count(self) -> int:
        """Return how many notes there are."""
        return (await self.ask("count"))[0]

    async def shown(self, stamp_ns: int) -> int:
        """Return how many viewers have seen an event that is as new, or newer."""
        return (await self.ask(f"shown {stamp_ns}"))[0]

    async def seen(self) -> Seen:
        """Return what was noted, and forget it."""
        count, lost, keepalives = await self.ask("seen")
        notes = array("q")
        notes.frombytes(await self.read(count * notes.itemsize))
        return Seen(notes, lost, keepalives)


async def all_here(crowds: Sequence[Crowd], notes: int, wait_s: float = 10) -> None:
    """Wait until crowds have so many notes together, but not for ever."""
    deadline = time.monotonic() + wait_s
    while sum([await crowd.count() for crowd in crowds]) < notes:
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(_LOOK_S)


def percentile(values: Sequence[int], percent: float) -> int:
    """Return a percentile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0
