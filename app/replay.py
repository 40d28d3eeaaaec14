"""What a viewer of a finished job is sent: no actor is needed for what can't change."""

from typing import Final

from app.viewer import retry_block
from eventlog.reader import Reader
from schema.sse import encode_entry, encode_snapshot

MOST_BYTES: Final = 4 * 1024 * 1024
"""How much of a long history is sent at once; the viewer resumes after it."""


async def replay(reader: Reader, job_id: str, cursor: str | None) -> bytes | None:
    """Return the events after a cursor up to the end of the job, or its last state.

    None if it has none any more: the job was retried meanwhile, or is gone. A long history ends
    with ``retry:`` before its end.

    Args:
        reader: reads the log.
        job_id: a job that has finished.
        cursor: last id that the viewer has seen, if any.

    Raises:
        LogUnavailable: Redis is away.
    """
    frames: list[bytes] = []
    size = 0
    while True:
        answer = (await reader.catch_up(job_id, cursor)).for_viewer(cursor)
        if answer.state is None or not answer.state.finished:
            return None
        if answer.missed is None:
            return b"".join((*frames, encode_snapshot(answer.state).data))
        for entry in answer.missed:
            if entry.event is not None:
                frames.append(encode_entry(entry).data)
                size += len(frames[-1])
            if entry.is_terminal:
                return b"".join(frames)
            if size > MOST_BYTES:
                return b"".join((*frames, retry_block()))
        if not answer.more:
            return b"".join(frames)
        cursor = answer.missed[-1].id
