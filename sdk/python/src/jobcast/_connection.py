"""The asyncio connection to Redis: runs the append script and creates jobs."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

from hiredis import ReplyError
from redis.exceptions import RedisError

from jobcast._errors import JobcastError, JobExists, refused
from jobcast.protocol.append import Answer, Append
from jobcast.protocol.names import created_by, index_commands, reindex_commands, state_key
from jobcast.redis.address import parse_address
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Reply, answer_of, packed

_log = logging.getLogger("jobcast")


class PublishWarning:
    """Warns once if this Redis user may not publish."""

    def __init__(self) -> None:
        self._is_said = False

    def check(self, answer: Answer) -> None:
        """Log the warning if the answer says that Redis refused to publish."""
        if answer.receivers < 0 and not self._is_said:
            self._is_said = True
            _log.warning("this Redis user may not publish: viewers get events late")


class Connection:
    """Runs the append script and other commands. Opened at first use; any number of runs share it.

    It does not retry. A call times out after ``try_s`` seconds, or after the timeout of the address
    if that is shorter. ``closings`` counts how often the connection was closed.
    """

    def __init__(self, url: str, *, try_s: float | None = None) -> None:
        self._caller = Caller(parse_address(url), math.inf if try_s is None else try_s)
        self._warning = PublishWarning()
        self.closings = 0

    async def append(
        self,
        job_id: str,
        event: Append,
        attempt: int | None = None,
        run: str = "",
        seq: str = "",
    ) -> Answer:
        """Append an event to a job's log. Raises a `JobcastError` if the script refuses it.

        ``seq`` is the number of the append within its run, or the token of a creation. With it the
        call is idempotent.
        """
        reply = await self._caller.append(job_id, event, attempt, run, seq)
        if isinstance(reply, ReplyError) and (refusal := refused(str(reply))) is not None:
            raise refusal
        answer = Answer.from_reply(answer_of(reply))
        self._warning.check(answer)
        return answer

    def repeatable(
        self, job_id: str, event: Append, attempt: int | None = None
    ) -> Callable[[], Awaitable[Answer]]:
        """Return a call that appends a cancel, a retry or an end without a number; idempotent.

        A try without an answer may have written the event, and then the next one is refused. Such a
        refusal is not raised if the job's state shows the event: see `Append.answer_in`.
        """
        is_unanswered = False

        async def append() -> Answer:
            nonlocal is_unanswered
            try:
                return await self.append(job_id, event, attempt)
            except RedisError:
                is_unanswered = True
                raise
            except JobcastError:
                answer = await self._answer_in_state(job_id, event) if is_unanswered else None
                if answer is None:
                    raise
                return answer

        return append

    async def _answer_in_state(self, job_id: str, event: Append) -> Answer | None:
        state = state_key(job_id)
        return event.answer_in(await self.call(state, "HMGET", state, *event.traces))

    async def create(  # noqa: PLR0913 - keyword arguments of a creation
        self,
        job_id: str,
        event: Append,
        token: str,
        *,
        user_id: str | None,
        session_id: str | None,
        retention_s: int,
    ) -> None:
        """Create a job's log and list the job in its owners' indexes; idempotent by ``token``.

        Raises `JobExists` if the job was created with another token. If that creation has the same
        owners, the job is listed anyway: its creator may have lost Redis before listing it.
        """

        async def enter(created_id: str) -> None:
            await self.index(
                job_id,
                created_id,
                user_id=user_id,
                session_id=session_id,
                retention_s=retention_s,
            )

        try:
            answer = await self.append(job_id, event, seq=token)
        except JobExists:
            created_id = await self.created(job_id, user_id, session_id)
            if created_id is not None:
                await enter(created_id)
            raise
        await enter(answer.entry_id)

    async def created(self, job_id: str, user_id: str | None, session_id: str | None) -> str | None:
        """Return the id of a job's first entry; None unless its owners are exactly these."""
        state = state_key(job_id)
        reply: Any = await self.call(state, "HMGET", state, "created", "userId", "sessionId")
        return created_by(reply, user_id, session_id)

    async def index(
        self,
        job_id: str,
        created_id: str,
        *,
        user_id: str | None,
        session_id: str | None,
        retention_s: int,
    ) -> None:
        """List a job in its owners' indexes, for longer than the job can live, and announce it."""
        publish = self._caller.servers.pubsub.publish
        found = index_commands(job_id, created_id, (user_id, session_id), retention_s, publish)
        await asyncio.gather(*(self.call(key, *each) for key, each in found.items()))

    async def reindex(self, job_id: str, retention_s: int) -> None:
        """List a job again after a retry, which announces the retry to its owner's streams."""
        state = state_key(job_id)
        reply: Any = await self.call(state, "HMGET", state, "created", "userId", "sessionId")
        found = reindex_commands(reply, job_id, retention_s, self._caller.servers.pubsub.publish)
        await asyncio.gather(*(self.call(key, *each) for key, each in found.items()))

    async def call(self, key: str, *command: str) -> Reply:
        """Run an idempotent command on the server that has ``key``, and return the reply."""
        return await self._caller.call(key, *command)

    def send(self, key: str, *command: str) -> None:
        """Send a command without waiting for its reply. Without a connection it is dropped."""
        self._caller.send(key, packed(*command))

    async def aclose(self) -> None:
        """Close the connection; calls without an answer raise ``redis.ConnectionError``."""
        self.closings += 1
        await self._caller.aclose()
