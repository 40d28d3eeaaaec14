"""Names in Redis: ids, keys, channels, and members of indexes.

Every key of a job has the job's id as hash tag, so that a Cluster keeps them in one slot.
"""

import hashlib
import re
from typing import Final, NamedTuple
from uuid import uuid4

LISTED_S: Final = 8 * 24 * 3600
"""Seconds for which an index lists an unfinished job: longer than its log is kept after the last
entry."""

UNCONFIRMED_KEY: Final = "jobs:unconfirmed"
"""The sorted set of jobs whose place in the queue is unconfirmed, scored by the start of their
queueing, in seconds of the clock of Redis."""

BRIDGE_KEY: Final = "jobs:bridge"
"""Exists while a bridge appends the events of publish-only workers, so that the service does not
deliver them itself. The value is when that begins, in ms of the clock of Redis."""

is_entry_id: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,20}").fullmatch
"""Match a text that is the id of a log entry; None if it is not."""

_NUMBER: Final = re.compile("0|[1-9][0-9]{0,15}")
_MOST: Final = 2**53
_JOB_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
ADD_LUA: Final = """
local function add(score, member)
  local added = redis.pcall('ZADD', KEYS[1], score, member)
  if type(added) == 'number' then return end
  if string.find(added.err, 'WRONGTYPE', 1, true) then redis.call('DEL', KEYS[1]) end
  redis.call('ZADD', KEYS[1], score, member)
end
"""
"""The beginning of each script that adds to a sorted set of Jobcast.

What is no sorted set is replaced: nobody can read it, and it would refuse every later addition.
"""

_LIST: Final = (
    ADD_LUA
    + """
add(0, ARGV[1])
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.pcall(ARGV[3], KEYS[1], ARGV[4])
"""
)
_MEMBER: Final = re.compile(r"([0-9]{13,14}):(.+)")


class PubSub(NamedTuple):
    """The commands and messages of Redis pub/sub, plain or sharded.

    ``channel_format`` is the format of a job's channel (``append.lua`` builds the same name).
    ``publish``, ``subscribe`` and ``unsubscribe`` are commands; the push that confirms a
    subscription has the name of ``subscribe`` in lower case. ``message`` is the push with a
    publication. ``together`` says whether one command may name channels of several jobs.
    """

    channel_format: str
    publish: str
    subscribe: str
    unsubscribe: str
    message: str
    together: bool

    def channel(self, job_id: str) -> str:
        """Return the channel of a job's events."""
        return self.channel_format.format(job_id)


PLAIN: Final = PubSub(
    "jobs:{}:events", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "message", together=True
)
"""For a single server, and for a primary that Sentinels watch."""

SHARDED: Final = PubSub(
    "jobs:{{{}}}:events", "SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE", "smessage", together=False
)
"""For a Cluster: the channel is in the slot of the job's keys."""


def new_job_id() -> str:
    """Return a random UUID."""
    return str(uuid4())


def parse_job_id(text: object) -> str | None:
    """Return an id as keys spell it (a UUID in lower case); None if it is malformed."""
    if not isinstance(text, str) or _JOB_ID.fullmatch(text) is None:
        return None
    return text.lower() if _UUID.fullmatch(text) else text


def stored_number(text: str, default: int) -> int:
    """Return a whole number of a job's state, read as the append script reads it.

    ``default`` if it is none, or is not below 2^53. (Python can't parse one of thousands of
    digits.)
    """
    number = int(text) if _NUMBER.fullmatch(text) else _MOST
    return number if number < _MOST else default


def log_key(job_id: str) -> str:
    """Return the key of a job's log."""
    return f"jobs:{{{job_id}}}:log"


def state_key(job_id: str) -> str:
    """Return the key of a job's state."""
    return f"jobs:{{{job_id}}}:state"


def owner_keys(user_id: str | None, session_id: str | None) -> list[str]:
    """Return the keys of the indexes that list the jobs of these owners."""
    keys = []
    if user_id is not None:
        keys.append(f"jobs:by-user:{user_id}")
    if session_id is not None:
        keys.append(f"jobs:by-session:{session_id}")
    return keys


def created_by(
    reply: list[bytes | None], user_id: str | None, session_id: str | None
) -> str | None:
    """Return the id of a job's first entry; None unless its owners are exactly these.

    ``reply`` are the fields ``created userId sessionId`` of the job's state.
    """
    created_id, *owners = _creation(reply)
    return created_id if owners == [user_id, session_id] else None


def _creation(reply: list[bytes | None]) -> tuple[str | None, str | None, str | None]:
    """Return the id of a job's first entry, None if it is malformed, and the job's owners."""
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


def index_commands(
    job_id: str,
    created: str,
    owners: tuple[str | None, str | None],
    retention_s: int,
    publish: str,
) -> dict[str, Command]:
    """Return the commands that list a job in its owners' indexes, by the index key.

    An index lists the job for longer than it can live. ``created`` is the job's first log entry,
    ``owners`` are its user and its session. The commands also announce the job: they ``publish``
    its id on a channel with the name of the index key, and streams of all jobs of an owner add it
    after they have read who owns it. If this Redis user may not publish there, they add it later.
    """
    member = index_member(job_id, created)
    expiry = str(LISTED_S + retention_s)
    return {
        key: ("EVAL", _LIST, "1", key, member, expiry, publish, job_id)
        for key in owner_keys(*owners)
    }


def reindex_commands(
    reply: list[bytes | None], job_id: str, retention_s: int, publish: str
) -> dict[str, Command]:
    """Return the commands that list a job again, and so announce a retry to its owner's streams.

    ``reply`` are the fields ``created userId sessionId`` of the job's state.
    """
    created_id, user_id, session_id = _creation(reply)
    if created_id is None:
        return {}
    return index_commands(
        job_id, created_id, (user_id or None, session_id or None), retention_s, publish
    )


def listed_job(member: bytes) -> tuple[str, str] | None:
    """Parse a member of an index: the job id, and ``<milliseconds of its first entry>-0``.

    None if it is malformed.
    """
    match = _MEMBER.fullmatch(member.decode(errors="replace"))
    if match is None or parse_job_id(match[2]) != match[2]:
        return None
    return match[2], f"{int(match[1])}-0"


def idempotency_key(owner: str, key: str) -> str:
    """Return the key that keeps the answer to an ``Idempotency-Key`` of an owner."""
    digest = hashlib.sha256(f"{len(owner)}:{owner}:{key}".encode()).hexdigest()
    return f"jobs:idempotency:{digest}"
