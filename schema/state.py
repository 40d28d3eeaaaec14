"""The state of a job, and the pure fold from its log to that state.

The append script maintains the same fold in a hash, so that a status poll need not read the log:
``fold(log) == state hash`` holds for every history.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from schema.entry import (
    CANCEL_REQUESTED,
    CHECKPOINT,
    CREATED,
    NO_EXTRA,
    RETRIED,
    Entry,
    encode_progress,
)
from schema.events import (
    NO_REASON,
    Complete,
    CompleteData,
    Failed,
    FailedData,
    Percent,
    ProgressData,
    ProgressUpdate,
    Seconds,
    StepChange,
)
from schema.owner import Owner
from schema.state_hash import (
    Attempt,
    Note,
    attempt_of,
    json_raw,
    json_seconds,
    percent_of,
    state_fields,
)

_EntryId = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,13})-(0|[1-9][0-9]{0,19})\Z")]
"""At most 14 digits of milliseconds: until the year 5138, which ``datetime`` can represent."""

Status = Literal["queued", "running", "succeeded", "failed"]

Creation = tuple[str, str | None, str | None]
"""Distinguishes successive jobs with the same id: id of the first entry, owner's user and session.
The entry id alone is not enough: jobs created in the same millisecond may have the same one."""


def _hash_field(name: str) -> str:
    first, *further = name.removesuffix("_requested").split("_")
    return first + "".join(map(str.title, further))


class JobState(Struct, frozen=True, gc=False, rename=_hash_field):
    """The state of a job after the entry ``last``.

    Attributes:
        attempt: counts from 1; a retry increments it.
        attempt_id: id of the attempt's first entry.
        created: id of the job's first entry.
        last: id of the last entry folded in.
        run: token of the run that may append; None before the start.
        progress: percent.
        estimated_time_remaining: seconds.
        extra: further fields of the last progress or step event.
        result: JSON.
        cancel_requested: whether the worker was asked to stop.
    """

    status: Status
    attempt: Attempt
    attempt_id: _EntryId
    created: _EntryId
    last: _EntryId
    type: str
    user_id: str | None = None
    session_id: str | None = None
    run: str | None = None
    progress: Percent = 0
    current_step: str | None = None
    estimated_time_remaining: Seconds | None = None
    extra: Mapping[str, Any] = NO_EXTRA
    result: Raw = Raw(b"null")
    error: str | None = None
    error_code: str | None = None
    cancel_requested: bool = False

    @property
    def finished(self) -> bool:
        """Whether the attempt succeeded or failed."""
        return self.status in {"succeeded", "failed"}

    @property
    def owner(self) -> Owner:
        """The job's owner."""
        return Owner(self.user_id, self.session_id)

    @property
    def creation(self) -> Creation:
        """What distinguishes the job from others with the same id."""
        return self.created, self.user_id, self.session_id

    @property
    def failure(self) -> FailedData:
        """Why the attempt failed, if it has."""
        return FailedData(self.error or "", self.error_code)

    @classmethod
    def from_hash(cls, fields: Mapping[str, str | None], note: Note = str) -> Self:
        """Decode the state hash, substituting invalid fields.

        Args:
            fields: fields by name; None counts as absent.
            note: called with a message for each substituted field.

        Raises:
            ValueError: the status, or the id of the first or last entry, is missing or invalid.
        """
        try:
            return msgspec.convert(_decode_strictly(fields), cls)
        except (KeyError, msgspec.MsgspecError, ValueError, RecursionError):
            return msgspec.convert(state_fields(fields, note), cls)

    def snapshot(self) -> tuple[str, bytes]:
        """Return the state as one event of the contract: name and data."""
        if self.status == "succeeded":
            return "complete", b'{"result":' + bytes(self.result) + b"}"
        if self.status == "failed":
            return "failed", msgspec.json.encode(self.failure)
        data = ProgressData(self.progress, self.current_step, self.estimated_time_remaining)
        return "progress-update", encode_progress(data, self.extra)

    def terminal_entry(self) -> Entry:
        """Reconstruct the last entry of a finished job."""
        name, data = self.snapshot()
        event = (
            Complete(CompleteData(self.result))
            if self.status == "succeeded"
            else Failed(self.failure)
        )
        return Entry(self.last, name, event, data)


STATE_FIELDS: Final = JobState.__struct_encode_fields__
"""The hash fields that ``from_hash`` reads: all but the job's input, which may be large."""

_PROGRESS: Final = (ProgressUpdate, StepChange)

_DECODED: Final[dict[str, Callable[[str], Any]]] = {
    "estimatedTimeRemaining": json_seconds,
    "extra": msgspec.json.decode,
    "result": json_raw,
}


def _decode_strictly(fields: Mapping[str, str | None]) -> dict[str, Any]:
    """Decode like ``state_fields``, but faster; raise any exception on an invalid field."""
    read: dict[str, Any] = {name: text for name, text in fields.items() if text is not None}
    read["attempt"] = 1 if read["attempt"] == "1" else attempt_of(read["attempt"])
    read["progress"] = percent_of(read["progress"])
    for name, decode in _DECODED.items():
        if name in read:
            read[name] = decode(read[name])
    if read["status"] == "failed":
        read.setdefault("error", NO_REASON)
    if "cancel" in read:
        read["cancel"] = True
    return read


def apply(state: JobState | None, entry: Entry) -> JobState:  # noqa: PLR0911 - one return an event
    """Fold one entry of the log into the state.

    Args:
        state: the preceding state; None before the first entry.
        entry: an entry that is legal in that state.

    Raises:
        ValueError: the entry has no id, or needs a preceding state.
    """
    if entry.id is None:
        raise ValueError("only log entries are folded")
    event = entry.event
    if isinstance(event, _PROGRESS) and state is not None:
        data, run = event.data, entry.fields.get("run")
        return replace(
            state,
            status="running",
            last=entry.id,
            run=state.run if run is None else run,
            progress=data.progress,
            current_step=data.current_step,
            estimated_time_remaining=data.estimated_time_remaining,
            extra=entry.extra,
        )
    if entry.name == CREATED:
        first = {"status": "queued", "attempt": "1", "progress": "0", "last": entry.id}
        return JobState.from_hash(
            {**entry.fields, **first, "created": entry.id, "attemptId": entry.id}
        )
    if entry.name == CHECKPOINT:
        return _from_checkpoint(state, entry.fields, entry.id)
    if state is None:
        raise ValueError("a log begins with its creation or a checkpoint")
    match event:
        case Complete(success):
            return replace(
                state,
                status="succeeded",
                last=entry.id,
                progress=100,
                estimated_time_remaining=None,
                result=success.result,
            )
        case Failed(failure):
            return replace(
                state,
                status="failed",
                last=entry.id,
                error=failure.error,
                error_code=failure.error_code,
            )
    if entry.name == RETRIED:
        return JobState(
            status="queued",
            attempt=state.attempt + 1,
            attempt_id=entry.id,
            created=state.created,
            last=entry.id,
            type=state.type,
            user_id=state.user_id,
            session_id=state.session_id,
        )
    if entry.name == CANCEL_REQUESTED:
        return replace(state, last=entry.id, cancel_requested=True)
    return replace(state, last=entry.id)


def _from_checkpoint(state: JobState | None, fields: Mapping[str, str], entry_id: str) -> JobState:
    try:
        return JobState.from_hash({**fields, "last": entry_id})
    except ValueError:
        if state is None:
            raise
        return replace(state, last=entry_id)  # a checkpoint only repeats the state before it


def fold(log: Iterable[Entry]) -> JobState | None:
    """Fold a whole log; None if it is empty."""
    return reduce(apply, log, None)
