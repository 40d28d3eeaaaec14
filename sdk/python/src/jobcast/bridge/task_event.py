"""Celery's task events: parses them, and says how they are ordered."""

import ast
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._failure import MAX_MESSAGE_CHARACTERS
from jobcast._json import to_json
from jobcast.adapters._report import Complain
from jobcast.bridge.progress import progress_of
from jobcast.protocol.append import Append
from jobcast.protocol.names import parse_job_id

BEGINNINGS: Final = ("sent", "received", "started")
ENDS: Final = ("succeeded", "failed", "revoked", "rejected")
KINDS: Final = frozenset((*BEGINNINGS, "progress", "retried", *ENDS))
"""What follows ``task-`` in an event's type; tasks send ``progress`` by ``send_event``."""

_PREFIX: Final = "task-"
_MAX_LITERAL: Final = 64 * 1024
_OF_CELERY: Final = frozenset(
    {
        *("type", "uuid", "hostname", "pid", "timestamp", "utcoffset", "clock", "local_received"),
        *("state", "root_id", "parent_id"),
    }
)
_EXCEPTION: Final = re.compile(r"(?s:[\w.]+\((.*?),?\))")
_LATEST_S: Final = 2**31
_MICROSECONDS: Final = 1_000_000
_RANKS: Final = 4
"""Positions within each microsecond: an end sorts after other events of the same time."""


class TaskEvent(NamedTuple):
    """One event of a task; ``at`` is its time by the worker's clock, in quarters of microseconds.

    ``received_s`` is when it arrived, on the event loop's clock.
    """

    kind: str
    job_id: str
    at: int
    received_s: float
    fields: Mapping[str, Any]

    def payload(self) -> dict[str, Any]:
        """Return the fields, with arguments as values where Celery's text of them can be parsed."""
        known = {name: value_of(self.fields.get(name)) for name in ("args", "kwargs")}
        return {**self.fields, **known}


def read(fields: object, received_s: float) -> TaskEvent | None:
    """Parse an event; None if it is not one of a task. Raises `InvalidEvent` if it is malformed."""
    if not isinstance(fields, dict):
        raise InvalidEvent("not an object")
    name = fields.get("type")
    if not isinstance(name, str) or not name.startswith(_PREFIX):
        return None
    kind = name.removeprefix(_PREFIX)
    if kind not in KINDS:
        return None
    job_id, timestamp = parse_job_id(fields.get("uuid")), fields.get("timestamp")
    if job_id is None:
        raise InvalidEvent("its uuid is no id of a job")
    if not isinstance(timestamp, int | float) or not 0 <= timestamp < _LATEST_S:
        raise InvalidEvent("it has no timestamp")
    rank = BEGINNINGS.index(kind) if kind in BEGINNINGS else 2 + (kind in ENDS)
    at = round(timestamp * _MICROSECONDS) * _RANKS + rank
    return TaskEvent(kind, job_id, at, received_s, fields)


def append_of(event: TaskEvent, complain: Complain) -> Append:
    """Return the append of an event. Raises `InvalidEvent` if it reports nothing."""
    fields = event.fields
    if event.kind == "progress":
        own = {name: value for name, value in fields.items() if name not in _OF_CELERY}
        return progress_of(own, complain)
    if event.kind == "succeeded":
        return _succeeded(fields.get("result"))
    if event.kind == "retried":
        return _event.logged(f"Will be tried again: {_reason(fields)}", "warning", {})
    return _event.failed(*_failure(event.kind, fields))


def value_of(text: object) -> object:
    """Return the value of a text made by Python's ``repr``; the text itself if it can't be parsed.

    Celery truncates long ones, which then can't be parsed.
    """
    if not isinstance(text, str) or len(text) > _MAX_LITERAL:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text


def _succeeded(result: object) -> Append:
    value = value_of(result)
    try:
        to_json(value, "result")
    except InvalidEvent:
        value = result  # not JSON (bytes, a tuple as a key): Celery's text of it
    try:
        return _event.completed(value)
    except InvalidEvent:
        return _event.completed(None)


def _failure(kind: str, fields: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the message and the code of an end without success."""
    if kind == "revoked" and fields.get("expired"):
        return "The task expired", "EXPIRED"
    if kind == "revoked":
        return "Cancelled", None
    if kind == "rejected":
        return "The worker rejected the task", "REJECTED"
    return _reason(fields), None


def _reason(fields: Mapping[str, Any]) -> str:
    """Return the message of an exception, from the ``repr`` that Celery sends."""
    text = fields.get("exception")
    if not isinstance(text, str) or not text:
        return "The task failed"
    match = _EXCEPTION.fullmatch(text)
    message = value_of(match[1]) if match and match[1] else text
    shown = message if isinstance(message, str) and message else text
    return shown[:MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()
