"""The response to a viewer of a finished job, which needs no actor."""

from collections.abc import Sequence
from typing import Final

from eventlog.catch_up import CatchUp
from eventlog.reader import Reader
from schema.resume import Beginning, From, Reason
from schema.sse import Frame, encode_entry, encode_reset, encode_snapshot
from schema.state import JobState

MAX_BYTES: Final = 256 * 1024
"""Bytes of events, without the last one, above which an actor serves the viewer: many slow viewers
may read a replay."""


async def replay(reader: Reader, job_id: str, known: JobState, start: Beginning) -> bytes | None:
    """Return a viewer's events up to the end of the job, or its final state as one event.

    None if an actor must serve the viewer: the events exceed ``MAX_BYTES``, or the job was retried
    or has vanished meanwhile.

    Args:
        reader: reads the log.
        job_id: a finished job.
        known: its state, just read.
        start: where the viewer's events begin.

    Raises:
        LogUnavailable: Redis is unavailable.
    """
    if isinstance(start, str):
        answer = await reader.catch_up(job_id, start)
        return await _after(reader, job_id, known, start, answer)
    state = _finished(await reader.catch_up(job_id, None), known)
    if state is None:
        return None
    if start is From.START:
        return await _whole(reader, job_id, state)
    return encode_snapshot(state).data if start is None else encode_reset(state, start).data


async def _whole(reader: Reader, job_id: str, known: JobState) -> bytes | None:
    """Return the events of an attempt from its first entry, or from the oldest one left."""
    first = known.attempt_id
    answer = await reader.catch_up(job_id, first)
    match answer.reset_reason(first), answer.oldest_state():
        case Reason.ATTEMPT, _:
            return None  # another attempt began and ended meanwhile
        case Reason.TRIMMED, JobState() as oldest:
            if oldest.creation != known.creation:
                return None
            void = encode_reset(oldest, Reason.TRIMMED)
            answer = await reader.catch_up(job_id, oldest.last)
            return await _after(reader, job_id, known, oldest.last, answer, (void,))
    return await _after(reader, job_id, known, first, answer)


async def _after(  # noqa: PLR0913, PLR0917 - the cursor, and what was already read
    reader: Reader,
    job_id: str,
    known: JobState,
    cursor: str,
    answer: CatchUp,
    before: Sequence[Frame] = (),
) -> bytes | None:
    """Return the events after a cursor, of which ``answer`` is the first read."""
    frames = [frame.data for frame in before]
    size = 0
    while (state := _finished(answer, known)) is not None:
        reason = answer.reset_reason(cursor)
        if reason is not None:
            return b"".join((*frames, encode_reset(state, reason).data))
        for entry in answer.missed or ():
            cursor = entry.id or cursor
            if size > MAX_BYTES:
                return None
            if entry.event is not None:
                frames.append(encode_entry(entry).data)
                size += len(frames[-1])
            if entry.is_terminal:
                return b"".join(frames)
        if not answer.more:
            return b"".join(frames)
        answer = await reader.catch_up(job_id, cursor)
    return None


def _finished(answer: CatchUp, known: JobState) -> JobState | None:
    """Return the state that was read; None unless it is finished and of the known job."""
    state = answer.state
    is_known = state is not None and state.creation == known.creation and state.finished
    return state if is_known else None
