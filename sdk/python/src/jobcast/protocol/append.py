"""The append script: its text, its arguments and its answer; no I/O."""

from collections.abc import Mapping
from hashlib import sha1
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

SCRIPT: Final = files("jobcast.protocol").joinpath("append.lua").read_text("utf-8")
_DIGEST: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


ENDS: Final = ("complete", "fail")
"""The operations that end a run."""


class Append(NamedTuple):
    """One call of the append script, but for the job, the attempt and the run it is for.

    ``operation``, ``name``, ``data`` and ``number`` (a progress, or the length of a lease) are as
    the script's header describes them; ``fields`` are set in the job's state and ``cleared`` are
    removed from it.
    """

    operation: str
    name: str = ""
    data: str = "{}"
    number: str = ""
    fields: Mapping[str, str] = MappingProxyType({})
    cleared: tuple[str, ...] = ()

    @property
    def is_end(self) -> bool:
        """Whether it ends its run."""
        return self.operation in ENDS

    @property
    def size(self) -> int:
        """How many bytes it has, about: what is the same for all is left out."""
        texts = (self.name, self.data, *self.fields.values())
        return sum(len(text.encode()) for text in texts)

    def command(
        self,
        publish: str,
        keys: tuple[str, str],
        attempt: int | None,
        run: str | bytes,
        seq: str = "",
    ) -> list[str | bytes]:
        """Return the command that appends it in this attempt (None: any) and run ('': any).

        ``publish`` is the command that publishes it, ``keys`` are the job's log and state. ``seq``
        is the number of the append within its run, or the token of a creation: with it the command
        may be repeated. A Redis that does not know the script refuses with ``NOSCRIPT``: see
        `with_script`.
        """
        fields = [part for pair in self.fields.items() for part in pair]
        return [
            "EVALSHA",
            _DIGEST,
            "2",
            *keys,
            publish,
            self.operation,
            "" if attempt is None else str(attempt),
            run,
            self.name,
            self.data,
            self.number,
            f"{len(self.fields)} {seq}" if seq else str(len(self.fields)),
            *fields,
            *self.cleared,
        ]


def with_script(command: list[str | bytes]) -> list[str | bytes]:
    """Return what does the same, and makes the script known to a Redis that does not know it."""
    return ["EVAL", SCRIPT, *command[2:]]


CANCEL: Final = Append("cancel")
RETRY: Final = Append(
    "retry",
    cleared=(
        *("run", "currentStep", "estimatedTimeRemaining", "extra", "result"),
        *("error", "errorCode", "cancel"),
    ),
)


class Bounds(NamedTuple):
    """What a job may take: seconds after its end, entries of its log, bytes of one event."""

    retention_s: int
    max_entries: int
    max_event_bytes: int


def created(
    job_type: str,
    job_input: str | None,
    *,
    user_id: str | None,
    session_id: str | None,
    bounds: Bounds,
) -> Append:
    """Return what begins a job's log; ``job_input`` is JSON."""
    fields = {
        "type": job_type,
        "retention": str(bounds.retention_s),
        "maxEntries": str(bounds.max_entries),
        "maxEventBytes": str(bounds.max_event_bytes),
    }
    optional = {"input": job_input, "userId": user_id, "sessionId": session_id}
    fields.update((name, value) for name, value in optional.items() if value is not None)
    return Append("create", fields=fields)


def completed(result: str) -> Append:
    """Return what ends a job well; ``result`` is JSON."""
    data = f'{{"result":{result}}}'
    if result == "null":
        return Append("complete", data=data, cleared=("result", "estimatedTimeRemaining"))
    fields = {"result": result}
    return Append("complete", data=data, fields=fields, cleared=("estimatedTimeRemaining",))


def failed(data: str, error: str, code: str | None, operation: str = "fail") -> Append:
    """Return what ends a job badly; ``data`` is the JSON of ``error`` and ``code``."""
    if code is None:
        return Append(operation, data=data, fields={"error": error}, cleared=("errorCode",))
    return Append(operation, data=data, fields={"error": error, "errorCode": code})


STALLED: Final = failed(
    '{"error":"The worker was lost","errorCode":"STALLED"}',
    "The worker was lost",
    "STALLED",
    operation="stall",
)
"""Ends the run whose lease has run out."""


class Answer(NamedTuple):
    """What the script answers to an append that it wrote.

    ``entry_id`` is the log entry (empty when there was nothing to write, as for a renewal),
    ``receivers`` counts the subscribers that were sent the publication (-1: Redis refused to
    publish). ``type`` and ``input`` (JSON) are the job's at a start, else empty.
    """

    entry_id: str
    cancel_requested: bool
    receivers: int
    attempt: int
    status_before: str
    type: str = ""
    input: bytes = b""

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
