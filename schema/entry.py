"""One entry of a job's log, checked and ready to be folded and shown.

Reading is lenient about further fields (they pass through) and strict about what the contract
says. The names that begin with ``_`` are log-only: they are folded, and never sent.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from schema.events import (
    BROWSER_NAMES,
    CONTROL_NAMES,
    MAX_EVENT_BYTES,
    NO_REASON,
    TERMINAL,
    Complete,
    CompleteData,
    Custom,
    Event,
    Failed,
    FailedData,
    InvalidEvent,
    Percent,
    ProgressData,
    ProgressUpdate,
    Seconds,
    StepChange,
    is_custom_name,
    one_line,
    was_custom_name,
)
from schema.salvage import percent, salvaged_object, seconds

CREATED: Final = "_created"
RETRIED: Final = "_retried"
CANCEL_REQUESTED: Final = "_cancel-requested"
CHECKPOINT: Final = "_checkpoint"


class Entry(Struct, frozen=True, gc=False):
    """One fact of a job's life.

    Attributes:
        id: its place in the log; None for what a publish-only worker published.
        name: name of the event.
        event: the event, or None for a log-only entry.
        line: the event's data as one line of JSON, as a viewer gets it.
        extra: what a progress or step event says beyond the contract's fields.
        fields: all fields of the entry in the log; empty for a publication.
        prev: id of the entry before, as its publication says.
    """

    id: str | None
    name: str
    event: Event | None
    line: bytes
    extra: Mapping[str, Any] = {}
    fields: Mapping[str, str] = {}
    prev: str | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows it in its attempt."""
        return type(self.event) in TERMINAL


class _Whole(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """A progress event with all of the contract's fields and no others: the usual one."""

    progress: Percent
    current_step: str | None
    estimated_time_remaining: Seconds | None


class _Partial(Struct, rename="camel"):
    progress: Percent
    current_step: str | UnsetType | None = UNSET
    estimated_time_remaining: Seconds | UnsetType | None = UNSET


class _Complete(Struct):
    result: Raw | UnsetType = UNSET


class _Failed(Struct, rename="camel"):
    error: str
    error_code: str | UnsetType | None = UNSET


_decode_whole = msgspec.json.Decoder(_Whole).decode
_decode_partial = msgspec.json.Decoder(_Partial).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_complete = msgspec.json.Decoder(_Complete).decode
_decode_failed = msgspec.json.Decoder(_Failed).decode
_check_json = msgspec.json.Decoder(Raw).decode
_NEVER_SHOWN: Final = CONTROL_NAMES | BROWSER_NAMES
_CONTRACT_FIELDS: Final = ("progress", "currentStep", "estimatedTimeRemaining")

_NOTHING: Final[Mapping[str, Any]] = {}
_Parsed = tuple[Event, bytes, Mapping[str, Any]]


def _progress(kind: type[ProgressUpdate | StepChange], line: bytes) -> _Parsed:
    try:
        whole = _decode_whole(line)
    except msgspec.ValidationError:
        return _unusual_progress(kind, line)
    data = ProgressData(whole.progress, whole.current_step, whole.estimated_time_remaining)
    return kind(data), line, _NOTHING


def _unusual_progress(kind: type[ProgressUpdate | StepChange], line: bytes) -> _Parsed:
    given = _decode_partial(line)
    step, eta = given.current_step, given.estimated_time_remaining
    data = ProgressData(
        given.progress, None if step is UNSET else step, None if eta is UNSET else eta
    )
    extra = _decode_object(line)
    for field in _CONTRACT_FIELDS:
        extra.pop(field, None)
    if step is UNSET or eta is UNSET:
        line = progress_line(data, extra)
    return kind(data), line, extra


def progress_line(data: ProgressData, extra: Mapping[str, Any]) -> bytes:
    """Return the data of a progress event as one line of JSON, contract fields first."""
    fields = msgspec.to_builtins(data)
    return msgspec.json.encode({**fields, **extra, **fields} if extra else fields)


def _complete(line: bytes) -> _Parsed:
    data = _decode_complete(line)
    if not isinstance(data.result, UnsetType):
        return Complete(CompleteData(data.result)), line, {}
    return Complete(CompleteData(Raw(b"null"))), _with_null(line, "result"), {}


def _failed(line: bytes) -> _Parsed:
    data = _decode_failed(line)
    if not isinstance(data.error_code, UnsetType):
        return Failed(FailedData(data.error, data.error_code)), line, {}
    return Failed(FailedData(data.error)), _with_null(line, "errorCode"), {}


def _with_null(line: bytes, field: str) -> bytes:
    return msgspec.json.encode({**_decode_object(line), field: None})


_PARSERS: Final[Mapping[str, Callable[[bytes], _Parsed]]] = {
    "progress-update": partial(_progress, ProgressUpdate),
    "step-change": partial(_progress, StepChange),
    "complete": _complete,
    "failed": _failed,
}


def parse_event(
    name: str, data: Raw | bytes, is_custom: Callable[[str], bool] = is_custom_name
) -> _Parsed:
    """Check an event and return it with its data line and further fields.

    Args:
        name: what the event is called.
        data: well-formed JSON.
        is_custom: whether a name that is not the contract's may be an event's.

    Raises:
        InvalidEvent: it breaks the contract, or is larger than ``MAX_EVENT_BYTES``.
    """
    line = bytes(data)
    if len(line) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"data of {len(line)} bytes, more than {MAX_EVENT_BYTES}")
    line = one_line(line)
    parser = _PARSERS.get(name)
    try:
        if parser is not None:
            return parser(line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEvent(f"{name}: {error}") from None
    if not is_custom(name):
        raise InvalidEvent(f"{name[:80]!r} is no name for an event")
    if not line.lstrip().startswith(b"{"):
        raise InvalidEvent(f"{name}: data must be an object")
    return Custom(name, Raw(line)), line, {}


def entry_from_log(entry_id: str, fields: Mapping[str, str]) -> Entry:
    """Return what the log holds under an id.

    An entry that bears the name of a control frame, or of an event that a browser dispatches of its
    own, is as good as log-only: shown under that name it would forge one.

    Args:
        entry_id: id of the entry.
        fields: its fields; ``event`` and ``data`` at least, or ``event`` alone when log-only.

    Raises:
        InvalidEvent: it is nothing that the append script writes.
    """
    name = fields.get("event", "")
    if name.startswith("_") or name in _NEVER_SHOWN:
        return Entry(entry_id, name, None, b"", {}, fields)
    data = fields.get("data", "").encode()
    try:
        _check_json(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEvent(f"{name}: {error}") from None
    event, line, extra = parse_event(name, data, was_custom_name)
    return Entry(entry_id, name, event, line, extra, fields)


def salvaged_entry(entry_id: str, fields: Mapping[str, str]) -> Entry:
    """Return what the log holds under an id, as far as it can be read.

    Of what can't be shown at all there is no event: it is folded and not sent, like a log-only one.

    Args:
        entry_id: id of the entry.
        fields: its fields, of which ``entry_from_log`` makes nothing.
    """
    name = fields.get("event", "")
    try:
        data = salvaged_object(fields.get("data", ""))
    except ValueError:
        data = None
    event, line, extra = _salvaged_event(name, data) or (None, b"", _NOTHING)
    return Entry(entry_id, name, event, line, extra, fields)


def _salvaged_event(name: str, data: dict[str, Any] | None) -> _Parsed | None:
    if name in _SALVAGED:
        data = _SALVAGED[name](data or {})
    if data is None:
        return None
    try:
        return parse_event(name, msgspec.json.encode(data), was_custom_name)
    except InvalidEvent:
        return None


def _salvaged_progress(data: dict[str, Any]) -> dict[str, Any] | None:
    step, eta = data.get("currentStep"), data.get("estimatedTimeRemaining")
    try:
        whole = {**data, "progress": percent(data.get("progress"))}
    except ValueError:
        return None  # nothing that could be told without making it up
    try:
        eta = None if eta is None else seconds(eta)
    except ValueError:
        eta = None
    step = step if isinstance(step, str) else None
    return {**whole, "currentStep": step, "estimatedTimeRemaining": eta}


def _salvaged_failure(data: dict[str, Any]) -> dict[str, Any]:
    error, code = data.get("error"), data.get("errorCode")
    return {
        **data,
        "error": error if isinstance(error, str) else NO_REASON,
        "errorCode": code if isinstance(code, str) else None,
    }


_SALVAGED: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any] | None]]] = {
    "progress-update": _salvaged_progress,
    "step-change": _salvaged_progress,
    "complete": lambda data: data,
    "failed": _salvaged_failure,
}
