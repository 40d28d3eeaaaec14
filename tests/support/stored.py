"""A job as it is stored in Redis, and the service's operations on it."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from jobcast.protocol.append import CANCEL, RETRY, SCRIPT, Append


async def job_ids(redis: Redis) -> list[str]:
    """Return the ids of all jobs."""
    keys: Any = await redis.keys("jobs:{*}:state")
    return [key.removeprefix("jobs:{").removesuffix("}:state") for key in keys]


async def state_of(redis: Redis, job_id: str) -> dict[str, str]:
    """Return the fields of the job's state."""
    state: Any = await redis.hgetall(f"jobs:{{{job_id}}}:state")
    return dict(state)


async def log_of(redis: Redis, job_id: str, after: str = "") -> list[tuple[str, dict[str, str]]]:
    """Return the id and the fields of each entry of the job's log, oldest first.

    With ``after``, the id of an entry, only those that follow it.
    """
    entries: Any = await redis.xrange(f"jobs:{{{job_id}}}:log", f"({after}" if after else "-")
    return list(entries)


async def ending_of(redis: Redis, job_id: str) -> tuple[str | None, ...]:
    """Return the job's status, result (JSON), error and error code."""
    fields = ("status", "result", "error", "errorCode")
    ending: Any = await redis.hmget(f"jobs:{{{job_id}}}:state", fields)
    return tuple(ending)


async def listed_of(redis: Redis, user_id: str) -> list[str]:
    """Return the ids of the jobs in a user's index, oldest first."""
    members: list[Any] = await redis.zrange(f"jobs:by-user:{user_id}", 0, -1)
    return [str(member).partition(":")[2] for member in members]


async def cancel(redis: Redis, job_id: str) -> None:
    """Cancel the job, as the service does at its owner's request."""
    await _append(redis, job_id, CANCEL)


async def retry(redis: Redis, job_id: str) -> None:
    """Make the failed job queued again, for its next attempt."""
    await _append(redis, job_id, RETRY)


async def append(  # noqa: PLR0913, PLR0917 - the script's arguments
    redis: Redis,
    job_id: str,
    operation: str,
    data: str = "{}",
    fields: Mapping[str, str] | None = None,
    number: str = "",
) -> str:
    """Append any data and state fields, which the script does not validate.

    Workers in other languages may do so. Returns the id of the entry.
    """
    pairs = [part for pair in (fields or {}).items() for part in pair]
    answer: Any = await redis.register_script(SCRIPT)(
        keys=[f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"],
        args=["PUBLISH", operation, "", "", "note", data, number, str(len(pairs) // 2), *pairs],
    )
    return str(answer[0])


async def _append(redis: Redis, job_id: str, event: Append) -> None:
    keys = f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"
    command = event.command("PUBLISH", keys, None, "")
    await redis.register_script(SCRIPT)(keys=list(keys), args=command[5:])
