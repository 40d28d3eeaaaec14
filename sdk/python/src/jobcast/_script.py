"""The append script's arguments, answer and refusals; no I/O."""

import re
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, NamedTuple, Self

from jobcast._errors import (
    InvalidEvent,
    JobcastError,
    JobExists,
    JobFinished,
    JobNotRunning,
    JobStalled,
    JobSuperseded,
    UnknownJob,
)
from jobcast._event import Event

APPEND: Final = files("jobcast").joinpath("append.lua").read_text("utf-8")
_DIGEST: Final = sha1(APPEND.encode(), usedforsecurity=False).hexdigest()

_REFUSALS: Final[dict[str, type[JobcastError]]] = {
    "NOJOB": UnknownJob,
    "EXISTS": JobExists,
    "FINISHED": JobFinished,
    "STALLED": JobStalled,
    "SUPERSEDED": JobSuperseded,
    "NOTRUNNING": JobNotRunning,
    "BADEVENT": InvalidEvent,
}
_NO_JOB: Final = re.compile(
    r"WRONGTYPE|stream ID|top item|last possible ID|attempt to |bad argument"
)
"""What Redis says of keys that hold something else than a job: it will say so again."""


class Answer(NamedTuple):
    """What the script answers to an append that it wrote.

    ``entry_id`` is the log entry (empty for a renewal), ``receivers`` counts the subscribers that
    were sent the publication (-1: Redis refused to publish). ``type`` and ``input`` (JSON) are the
    job's at a start, else empty.
    """

    entry_id: str
    cancel_requested: bool
    receivers: int
    attempt: int
    status_before: str
    type: str
    input: bytes

    @classmethod
    def from_reply(cls, reply: list[Any]) -> Self:
        """Read the reply of Redis: numbers, and texts as bytes."""
        entry_id, cancel, receivers, attempt, status, *job = reply
        job_type, job_input = job or (b"", b"")
        return cls(
            entry_id.decode(),
            cancel != 0,
            receivers,
            attempt,
            status.decode(errors="replace"),
            job_type.decode(errors="replace"),
            job_input,
        )


def command(
    publish: str, keys: tuple[str, str], event: Event, attempt: int | None, run: str
) -> list[str]:
    """Return the command that appends an event of this attempt (None: any) and run ('': any).

    ``publish`` is the command that publishes it, ``keys`` are those of the job.
    """
    fields = [part for pair in event.fields.items() for part in pair]
    return [
        "EVALSHA",
        _DIGEST,
        "2",
        *keys,
        publish,
        event.operation,
        "" if attempt is None else str(attempt),
        run,
        event.name,
        event.data,
        event.number,
        str(len(event.fields)),
        *fields,
        *event.cleared,
    ]


def with_script(command: list[str]) -> list[str]:
    """Return what does the same, and makes the script known to a Redis that does not know it."""
    return ["EVAL", APPEND, *command[2:]]


def refusal(error: str) -> JobcastError | None:
    """Return the exception for an error reply, ``CODE text``; None if it is not of the job."""
    code, _, text = error.partition(" ")
    kind = _REFUSALS.get(code)
    if kind is None and _NO_JOB.search(error):
        return UnknownJob(f"What is stored under this id is no job: {error}")
    return kind(text[:1].upper() + text[1:]) if kind else None
