"""What is in Redis: names of keys and channels, and the payload of a publication.

Every key of one job carries the job's id as hash tag, so that a Cluster keeps them in one slot.
"""

import hashlib
import re
from typing import Final

import msgspec
from msgspec import Raw, Struct

from schema.entry import CREATED, Entry, parse_event
from schema.entry_id import is_entry_id
from schema.events import InvalidEvent
from schema.salvage import salvaged


class Publication(Struct, gc=False):
    """The payload on a job's channel.

    ``id`` is the log entry and ``prev`` the entry before it; a publish-only worker sends neither.
    That a job was created is published too, without ``prev``, for those who follow a job that had
    its id before.
    """

    event: str
    data: Raw
    id: str | None = None
    prev: str | None = None


_decode = msgspec.json.Decoder(Publication).decode
_surrogate = re.compile(rb"\\u[dD][89a-fA-F]").search
_logged = re.compile(rb'"id"[ \t\r\n]*:[ \t\r\n]*"[0-9]').search


def log_key(job_id: str) -> str:
    """Name the stream that is a job's log."""
    return f"jobs:{{{job_id}}}:log"


def state_key(job_id: str) -> str:
    """Name the hash that is a job's state."""
    return f"jobs:{{{job_id}}}:state"


class PubSub(Struct, frozen=True):
    """How events are published and followed: Redis' names for that.

    Attributes:
        channel_format: of the name of a job's channel.
        publish: the command that publishes.
        subscribe: the command that follows, and in lower case the push that confirms it.
        unsubscribe: the command that follows no more.
        message: the push that brings what was published.
        together: whether one command may name channels of several jobs.
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


def user_index_key(user_id: str) -> str:
    """Name the sorted set of a user's jobs."""
    return f"jobs:by-user:{user_id}"


def session_index_key(session_id: str) -> str:
    """Name the sorted set of a session's jobs."""
    return f"jobs:by-session:{session_id}"


def idempotency_key(owner: str, key: str) -> str:
    """Name where the answer to an ``Idempotency-Key`` of an owner is kept."""
    digest = hashlib.sha256(f"{len(owner)}:{owner}:{key}".encode()).hexdigest()
    return f"jobs:idempotency:{digest}"


UNCONFIRMED_KEY = "jobs:unconfirmed"
"""The sorted set of jobs whose place in the queue was not confirmed, by when they were begun, in
seconds of the clock of Redis."""


LEASES_KEY = "jobs:leases"
"""The sorted set of runs that hold a lease, by when it is over, in ms of the clock of Redis."""


def look_key(number: int) -> str:
    """Name a key that never is: what would be written to it shows whether anything can be."""
    return f"jobs:{{{number}}}:look"


def leased_run(member: bytes) -> tuple[str, bytes]:
    """Read a member of the index of leases: the job and the token of its run."""
    job_id, _, run = member.partition(b":")  # no job id has a colon, a token may
    return job_id.decode(), run


def decode_publication(payload: bytes) -> Entry:
    """Read what arrived on a channel; a lone surrogate in it as U+FFFD.

    Args:
        payload: anything.

    Raises:
        InvalidEvent: not JSON, not an object, or not what the contract says.
    """
    try:
        if not payload.isascii():
            payload.decode()  # msgspec does not look into the text that it leaves raw
        publication = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if _surrogate(payload) is None:
            raise InvalidEvent(str(error)) from None
        publication = _with_lone_surrogates(payload)
    entry_id = publication.id
    if entry_id is not None and not is_entry_id(entry_id):
        raise InvalidEvent(f"{entry_id[:80]!r} is no id of an entry")
    if publication.event == CREATED and entry_id is not None:
        return Entry(entry_id, CREATED, None, b"")
    event, line, extra = parse_event(publication.event, publication.data)
    return Entry(entry_id, publication.event, event, line, extra, {}, publication.prev)


def may_be_logged(payload: bytes) -> bool:
    """Say whether what arrived on a channel, and is no event, seems to name an entry of the log."""
    return _logged(payload) is not None


def _with_lone_surrogates(payload: bytes) -> Publication:
    try:
        return _decode(salvaged(payload.decode()))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEvent(str(error)) from None
