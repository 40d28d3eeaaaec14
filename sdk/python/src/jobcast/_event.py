"""The events that a worker appends, validated and encoded before anything is sent.

Each function raises `InvalidEvent` if an argument is invalid. The service uses the same functions
for events that it receives by HTTP.
"""

import re
import sys
from collections.abc import Mapping
from typing import Final

from jobcast._errors import InvalidEvent
from jobcast._failure import text_of
from jobcast._json import MAX_EVENT_BYTES, to_json, too_large
from jobcast.protocol import append
from jobcast.protocol.append import Append, Bounds

MAX_PROGRESS: Final = 100
LEVELS: Final = ("debug", "info", "warning", "error")
"""The levels of a log line, from the least to the most severe."""
MAX_TYPE_CHARACTERS: Final = 128
MAX_OWNER_CHARACTERS: Final = 255

_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
PROGRESS_FIELDS: Final = ("progress", "currentStep", "estimatedTimeRemaining")
"""The contract's fields of progress and step events; workers may add others."""
_NO_SESSION: Final = ("null", "undefined")
_RESERVED: Final = frozenset(
    {
        *("progress-update", "step-change", "complete", "failed"),
        *("connected", "reset", "ping", "left"),  # control frames of a stream
        *("message", "error", "open"),  # dispatched by an EventSource itself
        *("chunk", "artifact", "input-requested"),  # reserved for the future, like the prefix
    }
)
_RESERVED_PREFIX: Final = "child-"


def created(
    *,
    job_type: str,
    user_id: str | None,
    session_id: str | None,
    job_input: Mapping[str, object] | None,
    bounds: Bounds,
) -> Append:
    """Return the event that begins a job's log."""
    _text(job_type, "type")
    if not 1 <= len(job_type) <= MAX_TYPE_CHARACTERS:
        raise InvalidEvent(f"type must be a string of 1 to {MAX_TYPE_CHARACTERS} characters")
    if user_id is None and session_id is None:
        raise InvalidEvent("a job needs an owner: user_id, session_id or both")
    if user_id is not None:
        _check_user(user_id)
    if session_id is not None:
        _check_session(session_id)
    text = None if job_input is None else to_json(_object(job_input, "input"), "input")
    return append.created(job_type, text, user_id=user_id, session_id=session_id, bounds=bounds)


def started(lease_ms: int | None) -> Append:
    """Return the event that starts a run, or takes a job over from an earlier run."""
    return Append(
        "start",
        number="" if lease_ms is None else str(lease_ms),
        cleared=("currentStep", "estimatedTimeRemaining", "extra"),
    )


def renewed(lease_ms: int) -> Append:
    """Return the append that renews a run's lease; it writes no entry."""
    return Append("renew", number=str(lease_ms))


def progressed(
    progress: int, step: str | None, eta: float | None, more: Mapping[str, object]
) -> Append:
    """Return a ``progress-update``."""
    return _progress("progress", _percent(progress), step, eta, more)


def counted(
    progress: int | None, step: str | None, eta: float | None, more: Mapping[str, object]
) -> Append:
    """Return the ``progress-update`` of a count; without ``progress`` the job's own stays."""
    percent = "" if progress is None else _percent(progress)
    return _progress("progress", percent, step, eta, more)


def stepped(
    step: str, progress: int | None, eta: float | None, more: Mapping[str, object]
) -> Append:
    """Return a ``step-change``; without ``progress`` the job's own stays."""
    _text(step, "the step")
    return changed(step, progress, eta, more)


def changed(
    step: str | None, progress: int | None, eta: float | None, more: Mapping[str, object]
) -> Append:
    """Return a ``step-change`` that may lack a step, as those of publish-only workers may."""
    percent = "" if progress is None else _percent(progress)
    return _progress("step", percent, step, eta, more)


def emitted(name: str, data: Mapping[str, object]) -> Append:
    """Return a custom event."""
    name = _text(name, "an event name")
    if not _NAME.fullmatch(name):
        raise InvalidEvent("an event name is a-z, then up to 63 of a-z, 0-9 and hyphens")
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        raise InvalidEvent(f"the event name {name} is reserved")
    return Append("emit", name=name, data=to_json(_object(data, "data"), "data"))


def logged(text: str, level: str, more: Mapping[str, object]) -> Append:
    """Return a ``log`` event."""
    _text(text, "text")
    if level not in LEVELS:
        raise InvalidEvent(f"level must be one of {', '.join(LEVELS)}")
    for name in ("text", "level"):
        if name in more:
            raise InvalidEvent(f"{name} has an argument of its own and can't be a further field")
    return Append("emit", name="log", data=to_json({"text": text, "level": level, **more}, "data"))


def completed(result: object) -> Append:
    """Return the event ``complete``."""
    # Encoded only once: a custom class may encode differently each time.
    event = append.completed(to_json(result, "result"))
    if (size := len(event.data.encode())) > MAX_EVENT_BYTES:
        raise too_large("result", size)
    return event


def failed(error: str, code: str | None, more: Mapping[str, object] | None = None) -> Append:
    """Return the event ``failed``; ``more`` are further fields of its data."""
    _text(error, "error")
    if code is not None:
        _text(code, "code")
    data = {"error": error, "errorCode": code, **(more or {})}
    return append.failed(to_json(data, "error"), error, code)


def will_retry(error: str, code: str | None, retry_in_s: float | None) -> Append:
    """Return the event ``failed`` of an attempt that the queue will retry."""
    more: dict[str, object] = {"willRetry": True}
    if retry_in_s is not None:
        _seconds(retry_in_s, "retryInSeconds")
        more["retryInSeconds"] = retry_in_s
    return failed(error, code, more)


def _progress(
    operation: str, percent: str, step: str | None, eta: float | None, more: Mapping[str, object]
) -> Append:
    fields: dict[str, str] = {}
    cleared: tuple[str, ...] = ()
    # The data reuses the JSON encoded for the state: nothing is encoded twice.
    data = ',"currentStep":'
    if step is None:
        data += "null"
        cleared += ("currentStep",)
    else:
        data += _json_text(step, "the step")
        fields["currentStep"] = step
    data += ',"estimatedTimeRemaining":'
    if eta is None:
        data += "null"
        cleared += ("estimatedTimeRemaining",)
    else:
        seconds = fields["estimatedTimeRemaining"] = _seconds(eta)
        data += seconds
    if more:
        for name in PROGRESS_FIELDS:
            if name in more:
                raise InvalidEvent(
                    f"{name} has an argument of its own and can't be a further field"
                )
        extra = fields["extra"] = to_json(more, "the further fields")
        data += "," + extra.removeprefix("{")
    else:
        data += "}"
        cleared += ("extra",)
    if (size := len(data.encode())) > MAX_EVENT_BYTES:
        raise too_large("the event", size)
    return Append(operation, "", data, percent, fields, cleared)


def _percent(progress: object) -> str:
    if isinstance(progress, bool) or not isinstance(progress, int):
        raise InvalidEvent("progress must be an int")
    if not 0 <= progress <= MAX_PROGRESS:
        raise InvalidEvent(f"progress must be from 0 to {MAX_PROGRESS}")
    return int.__repr__(progress)  # even if a subclass overrides it, as an Enum does


def _seconds(eta: object, what: str = "eta") -> str:
    if isinstance(eta, bool) or not isinstance(eta, (int, float)):  # a union is built at each call
        raise InvalidEvent(f"{what} must be a number of seconds")
    if not 0 <= eta <= sys.float_info.max:  # an int may exceed the range of a float
        raise InvalidEvent(f"{what} must be zero or more seconds, and finite")
    # The JSON form, even if a subclass overrides its repr.
    return int.__repr__(eta) if isinstance(eta, int) else float.__repr__(eta)


def _json_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise InvalidEvent(f"{what} must be a string")
    return to_json(value, what)


def _text(value: str, what: str) -> str:
    """Return a text as a plain str. Raises `InvalidEvent` if it is none, or JSON can't carry it."""
    _json_text(value, what)
    return str.__str__(value)


def _check_user(user_id: str) -> None:
    # The service takes no other user id from a token, so nobody could ever see such a job.
    if not 1 <= len(_text(user_id, "user_id")) <= MAX_OWNER_CHARACTERS:
        raise InvalidEvent(f"user_id must be 1 to {MAX_OWNER_CHARACTERS} characters")


def _check_session(session_id: str) -> None:
    text = _text(session_id, "session_id")
    if text != text.strip() or not 1 <= len(text) <= MAX_OWNER_CHARACTERS or text in _NO_SESSION:
        raise InvalidEvent(
            f"session_id must be 1 to {MAX_OWNER_CHARACTERS} characters without space around"
            " them, and not the word null or undefined"
        )


def _object(value: object, what: str) -> dict[str, object]:
    try:
        if isinstance(value, Mapping):
            return dict(value)
    except Exception as error:  # a custom mapping class may raise anything
        raise InvalidEvent(f"{what} can't be read: {text_of(error)}") from error
    raise InvalidEvent(f"{what} must be a dict")


CANCELLED: Final = failed("Cancelled", None)
"""Ends an attempt that its queue has stopped."""
