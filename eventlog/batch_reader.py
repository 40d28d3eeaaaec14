"""Questions to whichever server has the job, in batches for each server."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from eventlog.batches import Batches, Reply
from eventlog.catch_up import Question
from eventlog.connection import available
from eventlog.errors import EventLogError, LogUnavailable, Redirected, unforeseen
from jobcast.protocol.names import state_key
from jobcast.redis.caller import Caller
from jobcast.redis.connection import decoded
from jobcast.redis.server import Server


class BatchReader:
    """Asks each server in batches of its own: one that is unavailable delays no other.

    A question whose job has moved to another node of a Cluster, or is being moved, is asked again
    by a call, which follows it.
    """

    def __init__(self, redis: Caller) -> None:
        self._redis = redis
        self._servers = redis.servers
        self._is_cluster = not redis.servers.pubsub.together
        self._batches: dict[Server, Batches] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask soon, together with others."""
        server = self._servers.known(state_key(question.job_id))
        if server is None:
            self._do(self._call(question, reply))
            return
        batches = self._batches.get(server) or self._begin(server)
        if not self._is_cluster:
            batches.ask(question, reply)
            return

        def judged(answer: Any) -> None:  # noqa: ANN401 - any answer
            if isinstance(answer, Redirected):
                self._do(self._call(question, reply))
                return
            if isinstance(answer, LogUnavailable):
                self._servers.look_soon()
            reply(answer)

        batches.ask(question, judged)

    async def close(self) -> None:
        """Wait for what is under way."""
        for batches in self._batches.values():
            await batches.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, server: Server) -> Batches:
        """Begin to ask a server, and forget those that have nothing any more."""
        serving = self._servers.serving()
        self._batches = {each: its for each, its in self._batches.items() if each in serving}
        batches = self._batches[server] = Batches(server)
        return batches

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
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
        except Exception as error:  # noqa: BLE001 - who asked must not wait for ever, whatever it is
            answer = unforeseen(error)
        reply(answer)
