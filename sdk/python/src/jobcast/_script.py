"""The append script's arguments, answer and refusals; no I/O."""

from importlib.resources import files
from typing import Final, NamedTuple, Self

from jobcast._errors import (
    InvalidEvent,
    JobcastError,
    JobExists,
    JobFinished,
    JobNotRunning,
    JobSuperseded,
    UnknownJob,
)
from jobcast._event import Event

APPEND: Final = files("jobcast").joinpath("append.lua").read_text("utf-8")

_REFUSALS: Final[dict[str, type[JobcastError]]] = {
    "NOJOB": UnknownJob,
    "EXISTS": JobExists,
    "FINISHED": JobFinished,
    "SUPERSEDED": JobSuperseded,
    "NOTRUNNING": JobNotRunning,
    "BADEVENT": InvalidEvent,
}


class Answer(NamedTuple):
    """What the script answers to an append that it wrote.

    ``entry_id`` is the log entry, ``receivers`` counts the subscribers that were sent the
    publication (-1: Redis refused to publish). ``type`` and ``input`` (JSON text) are those of the
    job at a start, else empty.
    """

    entry_id: str
    cancel_requested: bool
    receivers: int
    attempt: int
    status_before: str
    type: str
    input: str

    @classmethod
    def from_reply(cls, reply: list[str | int]) -> Self:
        """Read the reply of Redis, with text decoded."""
        entry_id, cancel, receivers, attempt, status, job_type, job_input = reply
        return cls(
            str(entry_id),
            bool(cancel),
            int(receivers),
            int(attempt),
            str(status),
            str(job_type),
            str(job_input),
        )


def arguments(event: Event, attempt: int | None, run: str) -> list[str]:
    """Return the script's ARGV for an event of this attempt (None: any) and run ('': any)."""
    fields = [part for pair in event.fields.items() for part in pair]
    return [
        "PUBLISH",
        event.operation,
        "" if attempt is None else str(attempt),
        run,
        event.name,
        event.data,
        event.progress,
        str(len(event.fields)),
        *fields,
        *event.cleared,
    ]


def refusal(error: str) -> JobcastError | None:
    """Return the exception for an error reply, ``CODE text``; None if it is not the script's."""
    code, _, text = error.partition(" ")
    kind = _REFUSALS.get(code)
    return kind(text[:1].upper() + text[1:]) if kind else None
