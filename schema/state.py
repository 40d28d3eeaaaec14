"""What a job is, and the pure fold from its log to that.

The append script keeps the same fold materialised in a hash, field for field, so that a status
poll needs no log. ``fold(log) == state hash`` holds for every history.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Annotated, Any, Final, Literal, Self

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from schema.entry import CANCEL_REQUESTED, CHECKPOINT, CREATED, RETRIED, Entry, progress_line
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
from schema.state_hash import Attempt, Note, json_line, json_seconds, state_fields

_EntryId = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,13})-(0|[1-9][0-9]{0,19})\Z")]
"""Of a time that a date can say: until the year 5138."""

Status = Literal["queued", "running", "succeeded", "failed"]

Creation = tuple[str, str | None, str | None]
"""What tells jobs apart that had one id, one after the other: the first entry, the owner's user and
session. Two first entries of the same millisecond may have the same id."""


def _in_hash(name: str) -> str:
    """Return the name of a field in the state hash."""
    first, *further = name.removesuffix("_requested").split("_")
    return first + "".join(map(str.title, further))


class JobState(Struct, frozen=True, gc=False, rename=_in_hash):
    """The state of a job after the entry ``last``.

    Attributes:
        status: where it is in its life.
        attempt: counts from 1; a retry raises it.
        attempt_id: id of the entry that began the attempt.
        created: id of the first entry.
        last: id of the last entry folded in.
        run: token of the run that may append; None unless started.
        progress: percent.
        estimated_time_remaining: seconds.
        extra: further fields of the last progress or step event.
        result: JSON of the result.
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
    extra: Mapping[str, Any] = {}
    result: Raw = Raw(b"null")
    error: str | None = None
    error_code: str | None = None
    cancel_requested: bool = False

    @property
    def finished(self) -> bool:
        """Whether the attempt has ended, well or not."""
        return self.status in {"succeeded", "failed"}

    @property
    def owner(self) -> Owner:
        """Whose job it is."""
        return Owner(self.user_id, self.session_id)

    @property
    def creation(self) -> Creation:
        """Which of the jobs that had its id it is."""
        return self.created, self.user_id, self.session_id

    @classmethod
    def from_hash(cls, fields: Mapping[str, str | None], note: Note = str) -> Self:
        """Read the state hash, as far as it can be.

        Args:
            fields: its fields by name; absent and None are the same.
            note: is told of each field that is read as something else.

        Raises:
            ValueError: there is no status in it, or no id of the first or last entry.
        """
        try:
            return msgspec.convert(_strictly(fields), cls)
        except (KeyError, msgspec.MsgspecError, ValueError, RecursionError):
            return msgspec.convert(state_fields(fields, note), cls)

    def snapshot(self) -> tuple[str, bytes]:
        """Return the state as one event of the contract: its name and its data line."""
        if self.status == "succeeded":
            return "complete", b'{"result":' + bytes(self.result) + b"}"
        if self.status == "failed":
            return "failed", msgspec.json.encode(
                {"error": self.error, "errorCode": self.error_code}
            )
        data = ProgressData(self.progress, self.current_step, self.estimated_time_remaining)
        return "progress-update", progress_line(data, self.extra)

    def ending(self) -> Entry:
        """Return the last entry of a finished job, as its state has it."""
        name, line = self.snapshot()
        event = (
            Complete(CompleteData(self.result))
            if self.status == "succeeded"
            else Failed(FailedData(self.error or "", self.error_code))
        )
        return Entry(self.last, name, event, line)


STATE_FIELDS: Final = JobState.__struct_encode_fields__
"""The fields of the hash that ``from_hash`` reads, without the job's input, which may be large."""

_PROGRESS: Final = (ProgressUpdate, StepChange)  # by far the most, and looked for first

_DECODED: Final[dict[str, Callable[[str], Any]]] = {
    "estimatedTimeRemaining": json_seconds,
    "extra": msgspec.json.decode,
    "result": json_line,
}


def _strictly(fields: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what ``state_fields`` does, if all is as it should be; any exception otherwise."""
    read: dict[str, Any] = {name: text for name, text in fields.items() if text is not None}
    read["attempt"] = int(read["attempt"])
    read["progress"] = int(read["progress"])
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
        state: the state before; None before the first entry.
        entry: an entry with an id, legal after that state.

    Raises:
        ValueError: there is no state to fold it into, or the entry has no id.
    """
    if entry.id is None:
        raise ValueError("only what is in the log is folded")
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
        return _of_checkpoint(state, entry.fields, entry.id)
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


def _of_checkpoint(state: JobState | None, fields: Mapping[str, str], entry_id: str) -> JobState:
    try:
        return JobState.from_hash({**fields, "last": entry_id})
    except ValueError:
        if state is None:
            raise
        return replace(state, last=entry_id)  # it holds nothing that the entries before did not say


def fold(log: Iterable[Entry]) -> JobState | None:
    """Return the state that a whole log amounts to; None for an empty one."""
    return reduce(apply, log, None)
