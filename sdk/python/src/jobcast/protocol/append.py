"""The append script: its source, arguments and answer; no I/O."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha1
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Self

from jobcast.protocol.names import stored_number

SCRIPT: Final = files("jobcast.protocol").joinpath("append.lua").read_text("utf-8")
_DIGEST: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


ENDS: Final = MappingProxyType({"complete": "succeeded", "fail": "failed"})
"""The operations that end a run, and the status after each."""

BRIEF_CHARACTERS: Final = 64
"""Two texts of this length, however escaped, fit into the smallest event bound that a job may
have."""

_TRACES: Final = ("last", "attempt", "status", "cancel", "error")


class Append(NamedTuple):
    """One call of the append script, without its job, attempt and run.

    The script's header describes ``operation``, ``name``, ``data`` and ``number`` (a progress, or
    the length of a lease in ms). ``fields`` are set in the job's state, and ``cleared`` are removed
    from it.
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
        """Approximate size in bytes, without the parts that all appends share."""
        texts = (self.name, self.data, *self.fields.values())
        return sum(len(text.encode()) for text in texts)

    @property
    def traces(self) -> tuple[str, ...]:
        """The fields of the job's state that ``answer_in`` needs."""
        return (*_TRACES, *self.fields, *self.cleared)

    def answer_in(self, stored: Sequence[bytes | None]) -> "Answer | None":
        """Return the answer to a cancel, a retry or an end that the job's state shows, else None.

        For a caller that got no answer, and whose repeat was refused. ``stored`` are the
        ``traces``. Any cancellation of the job counts as a cancel. A retry is recognized by its
        token (see `retried`) until another retry follows, an end by its fields. The id of the entry
        is that of the job's last one, which for an end is its own.
        """
        state = {
            name: value.decode("utf-8", "replace")
            for name, value in zip(self.traces, stored, strict=True)
            if value is not None
        }
        has_fields = self.fields.items() <= state.items()
        if self.operation == "cancel":
            is_written = state.get("cancel") == "1" or state.get("error") == "Cancelled"
        elif self.operation == "retry":
            is_written = "retryToken" in self.fields and has_fields
        else:
            is_cleared = state.keys().isdisjoint(self.cleared)
            is_ended = state.get("status") == ENDS[self.operation]
            is_written = is_ended and has_fields and is_cleared
        if not is_written:
            return None
        last, attempt, status = (state.get(name, "") for name in ("last", "attempt", "status"))
        return Answer(last, "cancel" in state, 0, stored_number(attempt, 1), status)

    def command(
        self,
        publish: str,
        keys: tuple[str, str],
        attempt: int | None,
        run: str | bytes,
        seq: str = "",
    ) -> list[str | bytes]:
        """Return the command that appends it to this attempt (None: any) and run ('': any).

        ``publish`` is the publish command, ``keys`` are the job's log and state. ``seq`` is the
        number of the append within its run, or the token of a creation: with it the command is
        idempotent. A Redis that has not loaded the script replies ``NOSCRIPT``: see `with_script`.
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
    """Return the same command with the script's source, so that Redis loads it."""
    return ["EVAL", SCRIPT, *command[2:]]


CANCEL: Final = Append("cancel")
RETRY: Final = Append(
    "retry",
    cleared=(
        *("run", "currentStep", "estimatedTimeRemaining", "extra", "result"),
        *("error", "errorCode", "cancel"),
    ),
)


def retried(token: str) -> Append:
    """Return a retry that leaves a random ``token`` in the state, by which it is recognized."""
    return RETRY._replace(fields={"retryToken": token})


class Bounds(NamedTuple):
    """Bounds of a job: seconds it is kept after its end, entries of its log, bytes of one event."""

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
    """Return the append that creates a job; ``job_input`` is JSON."""
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
    """Return the append of ``complete``; ``result`` is JSON."""
    data = f'{{"result":{result}}}'
    if result == "null":
        return Append("complete", data=data, cleared=("result", "estimatedTimeRemaining"))
    fields = {"result": result}
    return Append("complete", data=data, fields=fields, cleared=("estimatedTimeRemaining",))


def failed(data: str, error: str, code: str | None, operation: str = "fail") -> Append:
    """Return the append of ``failed``: its ``data`` in JSON, and the state's error and code."""
    if code is None:
        return Append(operation, data=data, fields={"error": error}, cleared=("errorCode",))
    return Append(operation, data=data, fields={"error": error, "errorCode": code})


def brief(message: str, code: str | None) -> tuple[str, str | None]:
    """Shorten an error to fit into any job's event: truncate the message, drop a long code."""
    fits = code is not None and len(code) <= BRIEF_CHARACTERS
    return message[:BRIEF_CHARACTERS], code if fits else None


def shortened(end: Append) -> Append:
    """Return an end that fits any job's bound of an event: without its result, or with less text.

    For one that is too large, as the job must end.
    """
    if end.operation == "complete":
        return completed("null")
    error, code = brief(end.fields["error"], end.fields.get("errorCode"))
    data = {"error": error, "errorCode": code}
    compact = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return failed(compact, error, code, end.operation)


STALLED: Final = failed(
    '{"error":"The worker was lost","errorCode":"STALLED"}',
    "The worker was lost",
    "STALLED",
    operation="stall",
)
"""Fails the run whose lease has expired."""


class Answer(NamedTuple):
    """The script's answer to an append that it did not refuse.

    ``entry_id`` is empty if no entry was written, as for a renewal. ``receivers`` counts the
    subscribers that Redis sent the publication to; -1 if it refused to publish. ``type`` and
    ``input`` (JSON) are the job's in the answer to a start, else empty.
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
        """Parse the reply of Redis: integers, and texts as bytes."""
        entry_id, cancel, receivers, attempt, status, *job = reply
        status_before = status.decode("utf-8", "replace")
        # The id that a repeated creation gets is from the state, which others may have written.
        its_id = entry_id.decode("utf-8", "replace")
        answer = cls(its_id, cancel != 0, receivers, attempt, status_before)
        if not job:
            return answer
        job_type, job_input = job
        return answer._replace(type=job_type.decode("utf-8", "replace"), input=job_input)
