"""One question about a job to Redis: its commands, and the decoding of the replies."""

from collections.abc import Sequence
from typing import Any, Final

import hiredis
from msgspec import Struct

from eventlog.catch_up import PAGE, CatchUp, decode_catch_up
from eventlog.complaints import complaints
from eventlog.errors import LogUnavailable, Redirected, UnreadableJob
from eventlog.outline import MARK_FIELDS
from jobcast.protocol.names import log_key, state_key
from jobcast.protocol.refusals import is_data_error
from jobcast.redis.connection import packed
from schema.entry import CHECKPOINT, CREATED, Entry, entry_from_log
from schema.state import STATE_FIELDS, JobState

_ELSEWHERE: Final = ("MOVED ", "ASK ", "TRYAGAIN ", "CLUSTERDOWN ")


class Question(Struct, frozen=True):
    """A question about a job.

    Attributes:
        job_id: the job.
        cursor: id of the last known entry; None reads only the state.
        only_mark: read only ``MARK_FIELDS``.
        only_oldest: read only the oldest entry of the log.
        most: maximum of entries in the answer.
    """

    job_id: str
    cursor: str | None
    only_mark: bool = False
    only_oldest: bool = False
    most: int = PAGE

    def commands(self) -> Sequence[bytes]:
        """Return its commands, packed."""
        key = state_key(self.job_id).encode()
        if self.only_mark:
            return (_MARK % (len(key), key),)
        log = log_key(self.job_id)
        if self.only_oldest:
            return (packed("XRANGE", log, "-", "+", "COUNT", "1"),)
        state = _STATE % (len(key), key)
        if self.cursor is None:
            return (state,)
        return state, packed("XRANGE", log, self.cursor, "+", "COUNT", str(self.most + 1))

    async def answer(self, replies: Sequence[Any]) -> Any:  # noqa: ANN401 - depends on the question
        """Decode the replies to a ``CatchUp``, a ``mark`` or the oldest entry.

        Args:
            replies: one for each command; an exception for a refused one.

        Raises:
            UnreadableJob: the job is corrupt.
            LogUnavailable: Redis is unavailable, or another node has the job.
        """
        if isinstance(replies[0], Exception):
            refused = _error_of(replies[0])
            if isinstance(refused, UnreadableJob):
                complaints.unreadable(self.job_id, refused)
            raise refused
        if self.only_mark:
            return replies[0]
        if self.only_oldest:
            return _oldest(replies[0])
        log = replies[1] if len(replies) > 1 else ()
        return await self._decoded(dict(zip(STATE_FIELDS, replies[0], strict=True)), log)

    async def _decoded(self, fields: dict[str, str | None], log: Any) -> CatchUp:  # noqa: ANN401 - a reply
        """Decode state and log. The state was read first: the log may be longer already."""
        if fields["status"] is None:
            return CatchUp(None)
        faults: list[str] = []
        _share(fields)
        try:
            state = JobState.from_hash(fields, faults.append)
        except ValueError as error:
            raise complaints.unreadable(self.job_id, UnreadableJob(str(error), fields)) from None
        if isinstance(log, Exception):
            refused = _error_of(log)
            if not isinstance(refused, UnreadableJob):
                raise refused
            faults.append(f"its log can't be read: {refused}")
            log = ()
        answer = await decode_catch_up(state, log, self.cursor, self.most, faults.append)
        complaints.substituted(self.job_id, faults)
        return answer


_COMMON: Final = ("type", "userId", "sessionId")
"""Fields whose texts many jobs have in common, such as all of a user."""

_MOST_TEXTS: Final = 4096
_LONGEST_TEXT: Final = 255
_texts: dict[str, str] = {}


def _share(fields: dict[str, str | None]) -> None:
    """Replace equal texts by the same object: each takes 60 bytes and more in the state of a job.

    ``sys.intern`` would do that, but Python 3.12 never frees what it has interned.
    """
    if len(_texts) > _MOST_TEXTS:
        _texts.clear()
    for name in _COMMON:
        text = fields[name]
        if text is not None and len(text) <= _LONGEST_TEXT:
            fields[name] = _texts.setdefault(text, text)
    if fields["attemptId"] == fields["created"]:
        fields["attemptId"] = fields["created"]


_HMGET: Final = b"*%d\r\n$5\r\nHMGET\r\n$%%d\r\n%%b\r\n%b"


def _hmget(names: Sequence[str]) -> bytes:
    """Return a template of the command for these fields, with the length of the key and the key."""
    fields = b"".join(b"$%d\r\n%b\r\n" % (len(name), name.encode()) for name in names)
    return _HMGET % (len(names) + 2, fields)


_MARK: Final = _hmget(MARK_FIELDS)
_STATE: Final = _hmget(STATE_FIELDS)


def _error_of(reply: Exception) -> Exception:
    """Convert an error reply of Redis; other exceptions are returned unchanged."""
    if not isinstance(reply, hiredis.ReplyError):
        return reply
    text = str(reply)
    if text.startswith(_ELSEWHERE):
        return Redirected(text)
    if is_data_error(text):
        return UnreadableJob(text)
    return LogUnavailable(f"Redis does not say: {text}")


def _oldest(log: Sequence[Any]) -> Entry | None:
    for entry_id, pairs in log:
        fields = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if fields.get("event") in {CHECKPOINT, CREATED}:
            return entry_from_log(entry_id, fields)
        return Entry(entry_id, "", None, b"")  # only its id matters
    return None
