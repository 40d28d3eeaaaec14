"""Validates events that workers send over HTTP, by the library's own checks."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from app.errors import BadRequest
from eventlog.runs import NumberedEvent
from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast.protocol.append import Append
from schema.http import RunEvent

FIRST: Final = 1
"""Sequence number of a run's first event, its start."""

_START: Final = "step-change"
_FAILED: Final = "failed"
_ZERO: Final[Mapping[str, object]] = {**dict.fromkeys(_event.PROGRESS_FIELDS), "progress": 0}
"""The data of a start as viewers get it; a worker may send it too."""

_NAMES: Final = {
    "the step": "currentStep",
    "eta": "estimatedTimeRemaining",
    "code": "errorCode",
    "an event name": "event",
}
"""Names of fields in the body, by their names in the library's messages."""


def numbered_events(events: list[RunEvent], path: str, lease_ms: int) -> list[NumberedEvent]:
    """Return the appends of a batch.

    Args:
        events: the batch.
        path: where an event is in the body, for messages: a format string of its index.
        lease_ms: length of the lease of a run that the batch starts.

    Raises:
        BadRequest: an event or the order of events breaks the contract; the message names the
            field.
    """
    found: list[NumberedEvent] = []
    for index, event in enumerate(events):
        where = path.format(index)
        if found and event.seq <= found[-1].seq:
            raise BadRequest(f"{where}seq: must be higher than the one before")
        if found and found[-1].append.is_end:
            raise BadRequest(f"{where}event: comes after the end of the run")
        try:
            append = _append_of(event, lease_ms)
            will_retry = event.event == _FAILED and event.data.get("willRetry") is True
            found.append(NumberedEvent(event.seq, append, will_retry))
        except InvalidEvent as error:
            raise BadRequest(where + _on_the_wire(str(error))) from None
    return found


def _append_of(event: RunEvent, lease_ms: int) -> Append:
    if event.seq == FIRST:
        if event.event != _START:
            raise InvalidEvent(f"event: the first of a run (seq 1) is its start, a {_START}")
        if event.data not in ({}, _ZERO):
            raise InvalidEvent("data: that of a run's start (seq 1) is empty")
        return _event.started(lease_ms)
    write = _WRITERS.get(event.event)
    return write(dict(event.data)) if write else _event.emitted(event.event, event.data)


def _progressed(data: dict[str, Any]) -> Append:
    progress, step, eta = _taken(data, *_event.PROGRESS_FIELDS)
    return _event.counted(progress, step, eta, data)


def _stepped(data: dict[str, Any]) -> Append:
    progress, step, eta = _taken(data, *_event.PROGRESS_FIELDS)
    return _event.stepped(step, progress, eta, data)


def _logged(data: dict[str, Any]) -> Append:
    text, level = _taken(data, "text", "level")
    return _event.logged(text, "info" if level is None else level, data)


def _completed(data: dict[str, Any]) -> Append:
    (result,) = _taken(data, "result")
    _check_empty(data)
    return _event.completed(result)


def _failed(data: dict[str, Any]) -> Append:
    error, code, will_retry, in_s = _taken(
        data, "error", "errorCode", "willRetry", "retryInSeconds"
    )
    _check_empty(data)
    if will_retry is not None and not isinstance(will_retry, bool):
        raise InvalidEvent("willRetry must be true or false")
    if will_retry:
        return _event.will_retry(error, code, in_s)
    if in_s is not None:
        raise InvalidEvent("retryInSeconds is only for an attempt that willRetry")
    return _event.failed(error, code)


_WRITERS: Final[Mapping[str, Callable[[dict[str, Any]], Append]]] = {
    "progress-update": _progressed,
    "step-change": _stepped,
    "log": _logged,
    "complete": _completed,
    _FAILED: _failed,
}


def _taken(data: dict[str, Any], *names: str) -> list[Any]:
    """Remove fields from the data of an event and return their values; None for absent ones."""
    return [data.pop(name, None) for name in names]


def _check_empty(data: Mapping[str, object]) -> None:
    for name in data:
        raise InvalidEvent(f"data: contains the unknown field `{name[:80]}`")


def _on_the_wire(message: str) -> str:
    for ours, theirs in _NAMES.items():
        if message.startswith(f"{ours} "):
            message = theirs + message.removeprefix(ours)
    is_located = message.startswith(("event ", "event:", "data:", "the event "))
    return message if is_located else f"data.{message}"
