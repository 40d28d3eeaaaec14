"""What a viewer of a finished job is sent: no actor is needed for what can't change."""

from eventlog.reader import Reader
from schema.sse import encode_entry, encode_snapshot


async def replay(reader: Reader, job_id: str, cursor: str | None) -> bytes:
    """Return the events after a cursor up to the end of the job, or its last state.

    Args:
        reader: reads the log.
        job_id: a job that has finished.
        cursor: last id that the viewer has seen, if any.

    Raises:
        LogUnavailable: Redis is away.
    """
    frames: list[bytes] = []
    while True:
        answer = (await reader.catch_up(job_id, cursor)).for_viewer(cursor)
        if answer.state is None:
            return b"".join(frames)
        if answer.missed is None:
            return b"".join((*frames, encode_snapshot(answer.state).data))
        for entry in answer.missed:
            if entry.event is not None:
                frames.append(encode_entry(entry).data)
            if entry.is_terminal:
                return b"".join(frames)
        if not answer.more:
            return b"".join(frames)
        cursor = answer.missed[-1].id
