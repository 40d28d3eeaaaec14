"""Jobs that are there before anything is measured."""

import time
from collections.abc import Sequence
from typing import Final

import jwt
from redis import Redis

from benchmarks.processes import HOST
from benchmarks.wire import RUN, ChainedPublish
from jobcast.protocol.append import SCRIPT
from jobcast.protocol.leases import LEASES_KEY
from jobcast.protocol.names import PLAIN, log_key, state_key

SECRET: Final = "the secret of the benchmarks, long enough"  # noqa: S105 - nobody's
_BATCH: Final = 2000


def job_ids(count: int) -> list[str]:
    """Return the ids of that many jobs."""
    return [f"job-{number}" for number in range(count)]


def token(job_id: str, until: int | None = None) -> str:
    """Return a token of the user who owns a job; it expires in an hour, or at a Unix time."""
    claims = {"userId": f"user-{job_id}", "exp": until or int(time.time()) + 3600}
    return jwt.encode(claims, SECRET, "HS256")


def prepare(port: int, jobs: Sequence[str], owner: str | None = None) -> str:
    """Create and start jobs, each with its own owner or all with one; return the script's digest.

    Args:
        port: of Redis.
        jobs: their ids.
        owner: as ``token`` takes it in place of a job.
    """
    with Redis(host=HOST, port=port) as redis:
        sha: str = redis.script_load(SCRIPT)
        for first in range(0, len(jobs), _BATCH):
            pipe = redis.pipeline(transaction=False)
            for job_id in jobs[first : first + _BATCH]:
                keys = (log_key(job_id), state_key(job_id))
                fields = ("type", "load", "input", "{}", "maxEntries", "1000")
                name = owner or job_id
                owned = ("userId", f"user-{name}", "sessionId", f"session-{name}")
                create = ("PUBLISH", "create", "", "", "", "{}", "", 5, *fields, *owned)
                pipe.evalsha(sha, 2, *keys, *create)
                pipe.evalsha(sha, 2, *keys, "PUBLISH", "start", "", RUN, "", "", "", 0)
            pipe.execute()
    return sha


def abandon(port: int, sha: str, jobs: Sequence[str]) -> None:
    """Create and start jobs whose workers are lost: their leases are over at once."""
    with Redis(host=HOST, port=port) as redis:
        for job_id in jobs:
            keys = (log_key(job_id), state_key(job_id))
            fields = ("type", "load", "input", "{}", "maxEntries", "1000")
            redis.evalsha(sha, 2, *keys, "PUBLISH", "create", "", "", "", "{}", "", 3, *fields)
            redis.evalsha(sha, 2, *keys, "PUBLISH", "start", "", RUN, "", "", "1", 0)
            redis.zadd(LEASES_KEY, {f"{job_id}:{RUN}": 0})


def begin_chain(port: int, jobs: Sequence[str]) -> None:
    """Publish the event that follows the last one of each log; chained ones follow it."""
    with Redis(host=HOST, port=port, decode_responses=True) as redis:
        pipe = redis.pipeline(transaction=False)
        for job_id in jobs:
            pipe.hget(state_key(job_id), "last")
        for job_id, last in zip(jobs, pipe.execute(), strict=True):
            pipe.publish(PLAIN.channel(job_id), ChainedPublish.first(last))
        pipe.execute()
