"""The connection to Redis."""

import asyncio
import logging
import math
from typing import Any

from hiredis import ReplyError

from jobcast._errors import JobExists, refused
from jobcast.protocol.append import Answer, Append
from jobcast.protocol.names import created_by, listing, listing_again, state_key
from jobcast.redis.address import parse_address
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Reply, answer_of, packed

_log = logging.getLogger("jobcast")


class PublishWarning:
    """Says once that this Redis user may not publish."""

    def __init__(self) -> None:
        self._is_said = False

    def check(self, answer: Answer) -> None:
        """Say it if an answer shows it."""
        if answer.receivers < 0 and not self._is_said:
            self._is_said = True
            _log.warning("this Redis user may not publish: viewers get events late")


class Connection:
    """Runs the append script. Opened at first use, shared by any number of runs.

    Here nothing is repeated. ``try_s`` is the longest time that a call may wait for its answer, if
    that is less than the address says. ``closings`` counts how often it was closed.
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
        """Append an event to a job's log; a `JobcastError` when the script refuses it.

        With ``seq``, the number of the append within its run or the token of a creation, the call
        may be repeated: the event is written once.
        """
        reply = await self._caller.append(job_id, event, attempt, run, seq)
        if isinstance(reply, ReplyError) and (refusal := refused(str(reply))) is not None:
            raise refusal
        answer = Answer.from_reply(answer_of(reply))
        self._warning.check(answer)
        return answer

    async def create(  # noqa: PLR0913 - a job's creation, each by name
        self,
        job_id: str,
        event: Append,
        token: str,
        *,
        user_id: str | None,
        session_id: str | None,
        retention_s: int,
    ) -> None:
        """Begin a job's log and list the job among those of its owners; may be repeated.

        `JobExists` if another creation was first. One by the same owners, which Redis was lost to
        before the job was listed, is finished all the same.
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
        """Return the first log entry of a job; None unless it is of exactly these owners."""
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
        """List a job among those of its owners, for longer than it can live."""
        publish = self._caller.servers.pubsub.publish
        found = listing(job_id, created_id, (user_id, session_id), retention_s, publish)
        await asyncio.gather(*(self.call(key, *each) for key, each in found.items()))

    async def index_again(self, job_id: str, retention_s: int) -> None:
        """List a job again after a retry, of which its owner's streams hear so."""
        state = state_key(job_id)
        reply: Any = await self.call(state, "HMGET", state, "created", "userId", "sessionId")
        found = listing_again(reply, job_id, retention_s, self._caller.servers.pubsub.publish)
        await asyncio.gather(*(self.call(key, *each) for key, each in found.items()))

    async def call(self, key: str, *command: str) -> Reply:
        """Have Redis carry out a command on a key, one that may be repeated."""
        return await self._caller.call(key, *command)

    def send(self, key: str, *command: str) -> None:
        """Send a command on a key that may be lost; it is, when there is no connection."""
        self._caller.send(key, packed(*command))

    async def aclose(self) -> None:
        """Close it; calls without an answer raise ``redis.ConnectionError``."""
        self.closings += 1
        await self._caller.aclose()
