"""Finding a run whose attempt was followed by a retry.

A job's state no longer has the run then, so a repeat of its last request is refused. The log has
it: each entry of a run its number, and the first one the run's token.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from eventlog.redis_calls import available
from jobcast.protocol.append import Answer
from jobcast.protocol.names import log_key, state_key, stored_number
from jobcast.redis.caller import Caller

_PAGE: Final = 500


class RetriedRun(Struct, frozen=True):
    """What a run has written, and its job as it is now.

    Attributes:
        ids: entries by their number within the run; those after a checkpoint that cut the log.
        job: the answer to a repeat of its last event.
    """

    ids: Mapping[int, str]
    job: Answer


async def find_run(redis: Caller, job_id: str, run: str) -> RetriedRun | None:
    """Return what a run has written; None if the log does not have its start.

    Raises:
        Unreadable: a key has the wrong type.
        LogUnavailable: Redis is unavailable.
    """
    ids: dict[int, str] = {}
    upper, has_more = "+", True
    while has_more:
        async with available():
            key = log_key(job_id)
            entries: Any = await redis.call(key, "XREVRANGE", key, upper, "-", "COUNT", str(_PAGE))
        for entry_id, (_, name, *fields) in entries:
            upper, its = f"({entry_id.decode()}", dict(zip(fields[::2], fields[1::2], strict=True))
            if name == b"_checkpoint":  # its fields are those of the state
                continue
            if number := stored_number(its.get(b"seq", b"").decode(errors="replace"), 0):
                ids[number] = entry_id.decode()
            if b"run" in its and its[b"run"] == run.encode():
                return RetriedRun(ids, await _job_now(redis, job_id))
            if b"run" in its:
                ids.clear()
        has_more = len(entries) == _PAGE
    return None


async def _job_now(redis: Caller, job_id: str) -> Answer:
    async with available():
        key = state_key(job_id)
        stored: Any = await redis.call(key, "HMGET", key, "attempt", "status", "type", "input")
    *texts, job_input = (each or b"" for each in stored)
    attempt, status_now, its_type = (each.decode("utf-8", "replace") for each in texts)
    return Answer(
        entry_id="",
        cancel_requested=False,
        receivers=0,
        attempt=stored_number(attempt, 1),
        status_before=status_now,
        type=its_type,
        input=job_input,
    )
