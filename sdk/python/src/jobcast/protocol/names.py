"""Names in Redis: ids, keys, channels, and members of indexes.

Every key of one job carries the job's id as hash tag, so that a Cluster keeps them in one slot.
"""

import hashlib
import re
from typing import Final, NamedTuple
from uuid import uuid4

LISTED_S: Final = 8 * 24 * 3600
"""How long an index lists an unfinished job: longer than its log is kept after the last entry."""

UNCONFIRMED_KEY: Final = "jobs:unconfirmed"
"""The sorted set of jobs whose place in the queue is unconfirmed, scored by the time of their
creation in seconds of the clock of Redis."""

BRIDGE_KEY: Final = "jobs:bridge"
"""Exists while a bridge appends the events of publish-only workers, which the service then does not
deliver itself. The value is the time from which on it does, in ms of the clock of Redis."""

is_entry_id: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,20}").fullmatch
"""Say, by a match or None, whether a text is the id of a log entry."""

_JOB_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_LIST: Final = """
redis.call('ZADD', KEYS[1], 0, ARGV[1])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.pcall(ARGV[3], KEYS[1], ARGV[4])
"""
_MEMBER: Final = re.compile(r"([0-9]{13,14}):(.+)")


class PubSub(NamedTuple):
    """Redis' names for publishing and subscribing.

    ``channel_format`` is the format of a job's channel (``append.lua`` builds the same name),
    ``publish`` the command that publishes, ``subscribe`` the command that subscribes and, in lower
    case, the push that confirms it, ``unsubscribe`` the command that ends it, ``message`` the push
    with a publication. ``together`` says whether one command may name channels of several jobs: not
    in a Cluster.
    """

    channel_format: str
    publish: str
    subscribe: str
    unsubscribe: str
    message: str
    together: bool

    def channel(self, job_id: str) -> str:
        """Name the channel of a job's events."""
        return self.channel_format.format(job_id)


PLAIN: Final = PubSub(
    "jobs:{}:events", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "message", together=True
)
"""On a single server, and on one that Sentinels watch."""

SHARDED: Final = PubSub(
    "jobs:{{{}}}:events", "SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE", "smessage", together=False
)
"""In a Cluster: the channel is where the job's keys are."""


def new_job_id() -> str:
    """Return a fresh id."""
    return str(uuid4())


def parse_job_id(text: object) -> str | None:
    """Return an id as keys spell it (a UUID in lower case); None if it is malformed."""
    if not isinstance(text, str) or _JOB_ID.fullmatch(text) is None:
        return None
    return text.lower() if _UUID.fullmatch(text) else text


def log_key(job_id: str) -> str:
    """Name the stream that is a job's log."""
    return f"jobs:{{{job_id}}}:log"


def state_key(job_id: str) -> str:
    """Name the hash that is a job's state."""
    return f"jobs:{{{job_id}}}:state"


def owner_keys(user_id: str | None, session_id: str | None) -> list[str]:
    """Name the sorted sets that list the jobs of these owners."""
    keys = []
    if user_id is not None:
        keys.append(f"jobs:by-user:{user_id}")
    if session_id is not None:
        keys.append(f"jobs:by-session:{session_id}")
    return keys


def created_by(
    reply: list[bytes | None], user_id: str | None, session_id: str | None
) -> str | None:
    """Return a job's first entry, of the fields ``created userId sessionId`` of its state.

    None unless the job is of exactly these owners.
    """
    created_id, *owners = _creation(reply)
    return created_id if owners == [user_id, session_id] else None


def _creation(reply: list[bytes | None]) -> tuple[str | None, str | None, str | None]:
    """Return a job's first entry, None if it is no id of one, and its owners."""
    texts = (None if each is None else each.decode(errors="replace") for each in reply)
    created_id, user_id, session_id = texts
    is_entry = created_id is not None and is_entry_id(created_id) is not None
    return created_id if is_entry else None, user_id, session_id


def index_member(job_id: str, created: str) -> str:
    """Return a job's member in its owners' indexes; all have score 0 and sort by creation.

    ``created`` is the job's first log entry.
    """
    milliseconds, _, _ = created.partition("-")
    return f"{milliseconds:0>13}:{job_id}"


Command = tuple[str, ...]


def listing(
    job_id: str,
    created: str,
    owners: tuple[str | None, str | None],
    retention_s: int,
    publish: str,
) -> dict[str, Command]:
    """Return the commands that list a job among those of its owners, by the key that they are on.

    It stays listed for longer than it can live. ``created`` is the job's first log entry,
    ``owners`` are its user and its session. Each owner's channel, which has the name of the key,
    gets the job's id by ``publish``: streams of all jobs of an owner add it then. They read who
    owns it, so a Redis user that may not publish there only makes them later.
    """
    member = index_member(job_id, created)
    expiry = str(LISTED_S + retention_s)
    return {
        key: ("EVAL", _LIST, "1", key, member, expiry, publish, job_id)
        for key in owner_keys(*owners)
    }


def listing_again(
    reply: list[bytes | None], job_id: str, retention_s: int, publish: str
) -> dict[str, Command]:
    """Return the commands that list a job again, of the fields ``created userId sessionId``.

    So a retry is announced to its owner's streams of all jobs.
    """
    created_id, user_id, session_id = _creation(reply)
    if created_id is None:
        return {}
    return listing(job_id, created_id, (user_id or None, session_id or None), retention_s, publish)


def listed_job(member: bytes) -> tuple[str, str] | None:
    """Read a member of an index: the job, and an entry id of the millisecond of its first entry.

    None if it is malformed.
    """
    match = _MEMBER.fullmatch(member.decode(errors="replace"))
    if match is None or parse_job_id(match[2]) != match[2]:
        return None
    return match[2], f"{int(match[1])}-0"


def idempotency_key(owner: str, key: str) -> str:
    """Name where the answer to an ``Idempotency-Key`` of an owner is kept."""
    digest = hashlib.sha256(f"{len(owner)}:{owner}:{key}".encode()).hexdigest()
    return f"jobs:idempotency:{digest}"
