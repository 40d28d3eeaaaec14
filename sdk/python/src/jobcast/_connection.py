"""The connection to Redis."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from hiredis import ReplyError
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobcast._event import Event
from jobcast._pipeline import Pipeline, Reply, packed, unanswered
from jobcast._script import LOAD, Answer, command, refusal
from jobcast._wire import index_member, owner_keys

_log = logging.getLogger("jobcast")

TIMEOUT_S: Final = 5.0
UNFINISHED_S: Final = 8 * 24 * 3600
"""More than an unfinished job lives on after its last entry."""


class Connection:
    """Runs the append script. Opened at first use, shared by any number of runs.

    Nothing is sent twice: an append that was written but not answered must not be written again.
    """

    def __init__(self, url: str) -> None:
        # Only what redis-py makes of the URL is used, and its way to connect.
        self._pool = BlockingConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        # redis-py keeps to a timeout of its own by asyncio.wait_for, which on Python 3.11 may lose
        # the cancellation of the task that waits: the timeout is kept here instead.
        self._timeout_s: float = self._pool.connection_kwargs["socket_timeout"]
        self._pool.connection_kwargs["socket_timeout"] = None
        self._pipeline: Pipeline | None = None
        self._earlier: list[Pipeline] = []  # perhaps with calls that wait for their answers
        self._opening = asyncio.Lock()
        self._warned = False

    async def append(
        self, job_id: str, event: Event, *, attempt: int | None = None, run: str = ""
    ) -> Answer:
        """Append an event to a job's log; a `JobcastError` when the script refuses it."""
        asked = packed(*command(job_id, event, attempt, run))
        pipeline = self._pipeline
        if pipeline is not None and pipeline.is_open and not pipeline.is_quiet:
            reply = await pipeline.call(asked)
        else:
            async with self._limited():
                pipeline = await self._open()
                reply = await pipeline.call(asked)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            async with self._limited():
                pipeline = await self._open()
                _checked(pipeline, await pipeline.call(packed(*LOAD)))
                reply = await pipeline.call(asked)
        answer = Answer.from_reply(_checked(pipeline, reply))
        if answer.receivers < 0 and not self._warned:
            self._warned = True
            _log.warning("this Redis user may not publish: viewers learn of events late, or never")
        return answer

    async def index(
        self,
        job_id: str,
        created_id: str,
        *,
        user_id: str | None,
        session_id: str | None,
        retention_s: int,
    ) -> None:
        """List a job among those of its owners, for longer than it can live."""
        member = index_member(created_id, job_id)
        commands = []
        for key in owner_keys(user_id, session_id):
            commands.append(packed("ZADD", key, "0", member))
            commands.append(packed("EXPIRE", key, str(UNFINISHED_S + retention_s)))
        async with self._limited():
            pipeline = await self._open()
            for reply in await asyncio.gather(*map(pipeline.call, commands)):
                _checked(pipeline, reply)

    async def call(self, *command: str) -> Reply:
        """Have Redis carry out a command that may be repeated."""
        async with self._limited():
            pipeline = await self._open()
            return _checked(pipeline, await pipeline.call(packed(*command)))

    def send(self, *command: str) -> None:
        """Send a command that may be lost; it is, when there is no connection."""
        pipeline = self._pipeline
        if pipeline is not None and pipeline.is_open:
            pipeline.call(packed(*command)).add_done_callback(asyncio.Future.exception)

    async def _open(self) -> Pipeline:
        """Return a connection that takes calls."""
        async with self._opening:
            if self._pipeline is not None and self._pipeline.is_quiet:
                # The event loop may have been kept busy: let it see what has come, an end perhaps.
                for _ in range(3):
                    await asyncio.sleep(0)
            if self._pipeline is None or not self._pipeline.is_open:
                connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                opened = await Pipeline.open(connection, self._timeout_s)
                self._earlier = [each for each in self._earlier if not each.is_closed]
                if self._pipeline is not None:
                    self._earlier.append(self._pipeline)
                self._pipeline = opened
            return self._pipeline

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError:
            raise unanswered(self._timeout_s) from None

    async def aclose(self) -> None:
        """Close it; calls without an answer raise ``redis.ConnectionError``."""
        pipelines, self._earlier = [*self._earlier, self._pipeline], []
        self._pipeline = None
        for pipeline in pipelines:
            if pipeline is not None:
                await pipeline.close()


def _checked(pipeline: Pipeline, reply: Reply) -> Reply:
    if isinstance(reply, ReplyError):
        raise refusal(str(reply)) or pipeline.error(reply)
    return reply
