"""Questions to a Cluster: each goes to the node that serves its job."""

import asyncio
from collections.abc import Coroutine
from itertools import chain
from typing import Any

import hiredis
from redis.exceptions import ResponseError

from eventlog.batches import Batches, Reply
from eventlog.catch_up import MARK_FIELDS, Question
from eventlog.cluster import Cluster
from eventlog.connection import available
from eventlog.errors import EventLogError, LogUnavailable, Redirected, unforeseen
from jobcast.protocol.names import log_key, state_key
from schema.state import STATE_FIELDS


class ShardedBatches:
    """Asks the nodes of a Cluster, each in batches of its own: one that is away delays no other.

    A question whose job has moved, or is being moved, is asked again by redis-py's client, which
    finds its way.

    Args:
        cluster: the client that knows the nodes.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = cluster.nodes
        self._batches: dict[str, Batches] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, question: Question, reply: Reply) -> None:
        """Ask soon, together with others."""
        node = self._nodes.of(state_key(question.job_id))
        if node is None:
            self._do(self._ask_client(question, reply))
            return
        batches = self._batches.get(node)
        if batches is None:
            batches = self._batches[node] = Batches(self._nodes.connector(node))

        def judged(answer: Any) -> None:  # noqa: ANN401 - any answer
            if isinstance(answer, Redirected):
                self._do(self._ask_client(question, reply))
                return
            if isinstance(answer, LogUnavailable):
                self._nodes.refresh_soon()
            reply(answer)

        batches.ask(question, judged)

    async def drop_idle(self, node: str) -> None:
        """Close the connections to a node over which nothing is asked at this moment."""
        batches = self._batches.get(node)
        if batches is not None:
            await batches.drop_idle()

    async def close(self) -> None:
        """Wait for what is under way, and close the connections."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for batches in self._batches.values():
            await batches.close()
        await self._nodes.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_client(self, question: Question, reply: Reply) -> None:
        try:
            async with available():
                replies = await self._replies(question)
            answer = await question.answer(replies)
        except EventLogError as error:
            answer = error
        except Exception as error:  # noqa: BLE001 - who asked must not wait for ever, whatever it is
            answer = unforeseen(error)
        reply(answer)

    async def _replies(self, question: Question) -> list[Any]:
        """Return what Redis would say to the question's commands."""
        cluster, key = self._cluster, state_key(question.job_id)
        if question.only_mark:
            return [await _reply(cluster.hmget(key, MARK_FIELDS))]
        log = log_key(question.job_id)
        if question.only_oldest:
            return [_as_replied(await _reply(cluster.xrange(log, "-", "+", count=1)))]
        state = await _reply(cluster.hmget(key, STATE_FIELDS))
        if question.cursor is None:
            return [state]
        entries = cluster.xrange(log, question.cursor, "+", count=question.most + 1)
        return [state, _as_replied(await _reply(entries))]


async def _reply(answer: Any) -> Any:  # noqa: ANN401 - redis-py's awaitables
    """Return what redis-py does, or the error that Redis replied with."""
    try:
        return await answer
    except ResponseError as error:
        return hiredis.ReplyError(str(error))


def _as_replied(entries: Any) -> Any:  # noqa: ANN401 - as redis-py has them, or an error
    """Return entries as Redis replies them: redis-py makes dicts of their fields."""
    if isinstance(entries, Exception):
        return entries
    return [(entry_id, list(chain(*pairs.items()))) for entry_id, pairs in entries]
