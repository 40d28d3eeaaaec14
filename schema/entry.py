"""Parsing of log entries and publications.

Unknown fields pass through; the contract's own fields are checked. Entries whose names begin with
``_`` are log-only: they are folded, but never sent.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from schema.events import (
    BROWSER_NAMES,
    CONTROL_NAMES,
    MAX_EVENT_BYTES,
    NO_REASON,
    TERMINAL_TYPES,
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
    is_stored_custom_name,
    normalize_json,
)
from schema.salvage import percent, salvage_object, seconds

NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})
"""No further fields: one object for all entries, as an empty dict takes 64 bytes."""

CREATED: Final = "_created"
RETRIED: Final = "_retried"
CANCEL_REQUESTED: Final = "_cancel-requested"
CHECKPOINT: Final = "_checkpoint"


class Entry(Struct, frozen=True, gc=False):
    """A parsed log entry or publication.

    Attributes:
        id: id in the log; None for an event from a publish-only worker.
        name: name of the event.
        event: the event, or None for a log-only entry.
        data: the event's data as single-line JSON, as viewers get it.
        extra: fields of a progress or step event beyond the contract's.
        fields: all fields of the log entry; empty for a publication.
        prev: id of the preceding entry, from the publication.
    """

    id: str | None
    name: str
    event: Event | None
    data: bytes
    extra: Mapping[str, Any] = NO_EXTRA
    fields: Mapping[str, str] = {}
    prev: str | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether the entry ends its attempt."""
        return type(self.event) in TERMINAL_TYPES


class _FullProgress(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    """The usual progress event, with all of the contract's fields and no others."""

    progress: Percent
    current_step: str | None
    estimated_time_remaining: Seconds | None


class _PartialProgress(Struct, rename="camel"):
    progress: Percent
    current_step: str | UnsetType | None = UNSET
    estimated_time_remaining: Seconds | UnsetType | None = UNSET


class _CompleteInput(Struct):
    result: Raw | UnsetType = UNSET


class _FailedInput(Struct, rename="camel"):
    error: str
    error_code: str | UnsetType | None = UNSET


_decode_full = msgspec.json.Decoder(_FullProgress).decode
_decode_partial = msgspec.json.Decoder(_PartialProgress).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_decode_complete = msgspec.json.Decoder(_CompleteInput).decode
_decode_failed = msgspec.json.Decoder(_FailedInput).decode
_check_json = msgspec.json.Decoder(Raw).decode
_HIDDEN_NAMES: Final = CONTROL_NAMES | BROWSER_NAMES
_CONTRACT_FIELDS: Final = ProgressData.__struct_encode_fields__

_ParsedEvent = tuple[Event, bytes, Mapping[str, Any]]


def _parse_progress(kind: type[ProgressUpdate | StepChange], data: bytes) -> _ParsedEvent:
    try:
        full = _decode_full(data)
    except msgspec.ValidationError:
        return _parse_partial_progress(kind, data)
    progress = ProgressData(full.progress, full.current_step, full.estimated_time_remaining)
    return kind(progress), data, NO_EXTRA


def _parse_partial_progress(kind: type[ProgressUpdate | StepChange], data: bytes) -> _ParsedEvent:
    given = _decode_partial(data)
    step, eta = given.current_step, given.estimated_time_remaining
    progress = ProgressData(
        given.progress, None if step is UNSET else step, None if eta is UNSET else eta
    )
    extra = _decode_object(data)
    for field in _CONTRACT_FIELDS:
        extra.pop(field, None)
    if step is UNSET or eta is UNSET:
        data = encode_progress(progress, extra)
    return kind(progress), data, extra or NO_EXTRA


def encode_progress(progress: ProgressData, extra: Mapping[str, Any]) -> bytes:
    """Encode the data of a progress event, contract fields first."""
    fields = msgspec.to_builtins(progress)
    return msgspec.json.encode({**fields, **extra, **fields} if extra else fields)


def _parse_complete(data: bytes) -> _ParsedEvent:
    result = _decode_complete(data).result
    if not isinstance(result, UnsetType):
        return Complete(CompleteData(result)), data, {}
    return Complete(CompleteData(Raw(b"null"))), _with_null(data, "result"), {}


def _parse_failed(data: bytes) -> _ParsedEvent:
    failure = _decode_failed(data)
    if not isinstance(failure.error_code, UnsetType):
        return Failed(FailedData(failure.error, failure.error_code)), data, {}
    return Failed(FailedData(failure.error)), _with_null(data, "errorCode"), {}


def _with_null(data: bytes, field: str) -> bytes:
    return msgspec.json.encode({**_decode_object(data), field: None})


_PARSERS: Final[Mapping[str, Callable[[bytes], _ParsedEvent]]] = {
    "progress-update": partial(_parse_progress, ProgressUpdate),
    "step-change": partial(_parse_progress, StepChange),
    "complete": _parse_complete,
    "failed": _parse_failed,
}


def parse_event(
    name: str, data: Raw | bytes, is_custom: Callable[[str], bool] = is_custom_name
) -> _ParsedEvent:
    """Validate an event; return it with its data as single-line JSON and its further fields.

    Args:
        name: name of the event.
        data: well-formed JSON.
        is_custom: whether a name that is not the contract's is allowed.

    Raises:
        InvalidEvent: the event breaks the contract, or its data is larger than
            ``MAX_EVENT_BYTES``.
    """
    encoded = bytes(data)
    if len(encoded) > MAX_EVENT_BYTES:
        raise InvalidEvent(f"data of {len(encoded)} bytes, more than {MAX_EVENT_BYTES}")
    encoded = normalize_json(encoded)
    parse = _PARSERS.get(name)
    try:
        if parse is not None:
            return parse(encoded)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEvent(f"{name}: {error}") from None
    if not is_custom(name):
        raise InvalidEvent(f"{name[:80]!r} is no name for an event")
    if not encoded.lstrip().startswith(b"{"):
        raise InvalidEvent(f"{name}: data must be an object")
    return Custom(name, Raw(encoded)), encoded, {}


def entry_from_log(entry_id: str, fields: Mapping[str, str]) -> Entry:
    """Parse a log entry.

    An entry named like a control frame, or like an event that browsers dispatch themselves, is
    treated as log-only: if it were sent, it would forge one.

    Args:
        entry_id: id of the entry.
        fields: fields of the entry: at least ``event`` and, unless it is log-only, ``data``.

    Raises:
        InvalidEvent: the entry breaks the contract.
    """
    name = fields.get("event", "")
    if name.startswith("_") or name in _HIDDEN_NAMES:
        return Entry(entry_id, name, None, b"", {}, fields)
    data = fields.get("data", "").encode()
    try:
        _check_json(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidEvent(f"{name}: {error}") from None
    event, data, extra = parse_event(name, data, is_stored_custom_name)
    return Entry(entry_id, name, event, data, extra, fields)


def salvage_entry(entry_id: str, fields: Mapping[str, str]) -> Entry:
    """Parse the readable part of a log entry that ``entry_from_log`` rejects.

    If no valid event results, the entry is treated as log-only.
    """
    name = fields.get("event", "")
    try:
        salvaged = salvage_object(fields.get("data", ""))
    except ValueError:
        salvaged = None
    event, data, extra = _salvage_event(name, salvaged) or (None, b"", NO_EXTRA)
    return Entry(entry_id, name, event, data, extra, fields)


def _salvage_event(name: str, data: dict[str, Any] | None) -> _ParsedEvent | None:
    if name in _SALVAGERS:
        data = _SALVAGERS[name](data or {})
    if data is None:
        return None
    try:
        return parse_event(name, msgspec.json.encode(data), is_stored_custom_name)
    except InvalidEvent:
        return None


def _salvage_progress(data: dict[str, Any]) -> dict[str, Any] | None:
    step, eta = data.get("currentStep"), data.get("estimatedTimeRemaining")
    try:
        whole = {**data, "progress": percent(data.get("progress"))}
    except ValueError:
        return None  # any percentage would be invented
    try:
        eta = None if eta is None else seconds(eta)
    except ValueError:
        eta = None
    step = step if isinstance(step, str) else None
    return {**whole, "currentStep": step, "estimatedTimeRemaining": eta}


def _salvage_failure(data: dict[str, Any]) -> dict[str, Any]:
    error, code = data.get("error"), data.get("errorCode")
    return {
        **data,
        "error": error if isinstance(error, str) else NO_REASON,
        "errorCode": code if isinstance(code, str) else None,
    }


_SALVAGERS: Final[Mapping[str, Callable[[dict[str, Any]], dict[str, Any] | None]]] = {
    "progress-update": _salvage_progress,
    "step-change": _salvage_progress,
    "complete": lambda data: data,
    "failed": _salvage_failure,
}
