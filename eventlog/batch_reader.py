"""Questions to the servers that have the jobs, in batches for each server."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from eventlog.errors import EventLogError, LogUnavailable, Redirected, unexpected
from eventlog.question import Question
from eventlog.redis_calls import available
from eventlog.server_batches import Reply, ServerBatches
from jobcast.protocol.names import state_key
from jobcast.redis.caller import Caller
from jobcast.redis.connection import decoded
from jobcast.redis.server import Server


class BatchReader:
    """Asks each server in separate batches, so that an unavailable one delays no other.

    If a job has moved to another node of a Cluster, or is being moved, the question is repeated by
    a ``Caller``, which follows redirections.
    """

    def __init__(self, redis: Caller) -> None:
        self._redis = redis
        self._servers = redis.servers
        self._batches: dict[Server, ServerBatches] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask in the next batch; ``reply`` gets the answer."""
        server = self._servers.known(state_key(question.job_id))
        if server is None:
            self._spawn(self._call(question, reply))
            return
        batches = self._batches.get(server) or self._begin(server)
        if not self._servers.is_cluster:
            batches.add(question, reply)
            return

        def handle(answer: Any) -> None:  # noqa: ANN401 - any answer
            if isinstance(answer, Redirected):
                self._spawn(self._call(question, reply))
                return
            if isinstance(answer, LogUnavailable):
                self._servers.refresh_soon()
            reply(answer)

        batches.add(question, handle)

    async def close(self) -> None:
        """Wait for pending batches."""
        for batches in self._batches.values():
            await batches.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, server: Server) -> ServerBatches:
        """Create the batches of a server, and drop those of servers without slots."""
        serving = self._servers.serving()
        self._batches = {each: its for each, its in self._batches.items() if each in serving}
        batches = self._batches[server] = ServerBatches(server)
        return batches

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, question: Question, reply: Reply) -> None:
        try:
            async with available():
                key = state_key(question.job_id)
                replies = [await self._redis.reply(key, each) for each in question.commands()]
            answer = await question.answer(decoded(replies))
        except EventLogError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - every question must get an answer
            answer = unexpected(error)
        reply(answer)
