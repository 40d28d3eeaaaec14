"""Reading states and logs."""

import asyncio
from collections.abc import Callable

from eventlog.batches import Batches
from eventlog.catch_up import CatchUp, Question
from eventlog.cluster import Cluster
from eventlog.connection import Client, connector_of
from eventlog.errors import LogUnavailable
from eventlog.shards import ShardedBatches
from schema.state import JobState

Answered = Callable[[CatchUp | LogUnavailable], None]


class Reader:
    """Reads jobs, many at a time.

    Args:
        client: what says where Redis is, and how to connect.
    """

    def __init__(self, client: Client) -> None:
        self._batches: Batches | ShardedBatches = (
            ShardedBatches(client) if isinstance(client, Cluster) else Batches(connector_of(client))
        )

    async def load(self, job_id: str) -> JobState | None:
        """Return the state of a job; None when there is none.

        Raises:
            LogUnavailable: Redis is away.
        """
        return (await self.catch_up(job_id, None)).state

    async def catch_up(self, job_id: str, cursor: str | None) -> CatchUp:
        """Return the state of a job and what was appended after a cursor.

        Args:
            job_id: the job.
            cursor: id of the last entry seen; None asks for the state alone.

        Raises:
            LogUnavailable: Redis is away.
        """
        future: asyncio.Future[CatchUp] = asyncio.get_running_loop().create_future()

        def answered(answer: CatchUp | LogUnavailable) -> None:
            if future.done():
                return
            if isinstance(answer, LogUnavailable):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        self.ask(job_id, cursor, answered)
        return await future

    def ask(self, job_id: str, cursor: str | None, answered: Answered) -> None:
        """Ask what ``catch_up`` returns, and be called with it, or with why it can't be had."""
        self._batches.ask(Question(job_id, cursor), answered)

    def look(self, job_id: str, known: JobState, answered: Answered) -> None:
        """Ask what became of a job since a state of it: mostly nothing, which is cheap to learn."""

        def compared(last: str | LogUnavailable | None) -> None:
            if isinstance(last, LogUnavailable):
                answered(last)
            elif last == known.last:
                answered(CatchUp(known, ()))
            else:
                self.ask(job_id, known.last, answered)

        self._batches.ask(Question(job_id, known.last, only_last=True), compared)

    async def drop_idle(self, node: str | None = None) -> None:
        """Close the connections that are not in use: see ``eventlog.connection.drop_idle``."""
        if isinstance(self._batches, Batches):
            await self._batches.drop_idle()
        else:
            await self._batches.drop_idle(node)

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        await self._batches.close()
