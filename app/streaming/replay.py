"""What a viewer of a finished job is sent: no actor is needed for what can't change."""

from collections.abc import Sequence
from typing import Final

from eventlog.catch_up import CatchUp
from eventlog.reader import Reader
from schema.resume import Beginning, From, Reason
from schema.sse import Frame, encode_entry, encode_reset, encode_snapshot
from schema.state import JobState

MAX_BYTES: Final = 256 * 1024
"""How much of a history is sent at once. There may be many viewers, and each may be slow."""


async def replay(reader: Reader, job_id: str, known: JobState, start: Beginning) -> bytes | None:
    """Return all events up to the end of the job from where a viewer's begin, or its last state.

    None if an actor has to bring them: there are more than go into one answer, or the job has not
    finished any more. It was retried meanwhile then, or is gone, and another one may have its id.

    Args:
        reader: reads the log.
        job_id: a job that has finished.
        known: its state as it was read just before.
        start: where the viewer's events begin.

    Raises:
        LogUnavailable: Redis is away.
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
    """Return an attempt from its first entry, or from the oldest one that is left."""
    first = known.attempt_id
    answer = await reader.catch_up(job_id, first)
    match answer.reset_reason(first), answer.oldest_state():
        case Reason.ATTEMPT, _:
            return None  # another one has come and gone
        case Reason.TRIMMED, JobState() as oldest:
            if oldest.creation != known.creation:
                return None
            void = encode_reset(oldest, Reason.TRIMMED)
            answer = await reader.catch_up(job_id, oldest.last)
            return await _after(reader, job_id, known, oldest.last, answer, (void,))
    return await _after(reader, job_id, known, first, answer)


async def _after(  # noqa: PLR0913, PLR0917 - where it start, and what was read already
    reader: Reader,
    job_id: str,
    known: JobState,
    cursor: str,
    answer: CatchUp,
    before: Sequence[Frame] = (),
) -> bytes | None:
    """Return what came after a cursor; ``answer`` is what was read of it."""
    frames = [frame.data for frame in before]
    size = 0
    while (state := _finished(answer, known)) is not None:
        reason = answer.reset_reason(cursor)
        if reason is not None:
            return b"".join((*frames, encode_reset(state, reason).data))
        for entry in answer.missed or ():
            cursor = entry.id or cursor
            if entry.event is not None:
                frames.append(encode_entry(entry).data)
                size += len(frames[-1])
            if entry.is_terminal:
                return b"".join(frames)
        if size > MAX_BYTES:
            return None
        if not answer.more:
            return b"".join(frames)
        answer = await reader.catch_up(job_id, cursor)
    return None


def _finished(answer: CatchUp, known: JobState) -> JobState | None:
    """Return the state that was read, if it is of the known job and has finished."""
    state = answer.state
    is_it = state is not None and state.creation == known.creation and state.finished
    return state if is_it else None
