"""The frontend contract: all events of a stream, as one tagged union.

The union is the logical form, ``{"type": …, "data": …}``. On a stream, ``type`` becomes the
``event:`` field and ``data`` the ``data:`` line (see ``schema.sse``).

Source: docs/protocol.md, "Events".
"""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from schema.salvage import salvage

MAX_EVENT_BYTES: Final = 1024 * 1024
"""Maximum size of the ``data`` of one event, as JSON."""

NO_REASON: Final = "The job failed"
"""Error text of a failed job without a reason."""

# Integers, because ``in`` finds a byte value five times as fast as a one-byte string.
_LF, _CR, _BACKSLASH = b"\n\r\\"

_CUSTOM_NAME: Final = r"[a-z][a-z0-9-]{0,63}"
_is_custom_name = re.compile(_CUSTOM_NAME).fullmatch

CONTROL_NAMES: Final = frozenset({"connected", "reset", "ping", "left"})
"""Names of control frames; log entries with these names are never sent."""

BROWSER_NAMES: Final = frozenset({"message", "error", "open"})
"""Names of events that an ``EventSource`` dispatches itself."""

CONTRACT_NAMES: Final = CONTROL_NAMES | {"progress-update", "step-change", "complete", "failed"}

_RESERVED_NAMES: Final = frozenset({"chunk", "artifact", "input-requested"})
_RESERVED_PREFIX: Final = "child-"

Percent = Annotated[int, Meta(ge=0, le=100)]
Seconds = Annotated[int, Meta(ge=0)] | Annotated[float, Meta(ge=0)]
CustomName = Annotated[
    str,
    Meta(
        pattern=f"^{_CUSTOM_NAME}$",
        extra_json_schema={"not": {"enum": sorted(CONTRACT_NAMES | BROWSER_NAMES)}},
    ),
]
Amount = Annotated[float, Meta(ge=0)]


class ConnectedData(Struct, frozen=True, rename="camel"):
    """The job, and in seconds the stream's maximum age and the silence before a keepalive."""

    connection_id: str
    job_id: str
    max_age_seconds: float
    keepalive_seconds: float


class ManyConnectedData(Struct, frozen=True, rename="camel"):
    """The jobs, and in seconds the stream's maximum age and the silence before a keepalive.

    ``jobIds`` are the jobs at the stream's beginning: those requested, or with ``mine=active``
    those found.
    """

    connection_id: str
    job_ids: list[str]
    max_age_seconds: float
    keepalive_seconds: float


Departure = Literal["ended", "gone", "not-found", "unreadable", "too-many-streams", "displaced"]
"""Why a job leaves a stream of many."""


class LeftData(Struct, frozen=True, rename="camel"):
    """The job that left the stream, and why."""

    job_id: str
    reason: Departure


class ResetData(Struct, frozen=True):
    """The attempt of the snapshot that follows, and why the viewer can't resume from its cursor."""

    attempt: int
    reason: Literal["attempt", "trimmed", "unknown"]


class ProgressData(Struct, frozen=True, rename="camel", gc=False):
    """Progress in percent, the current step, and the estimated time left in seconds."""

    progress: Percent
    current_step: str | None = None
    estimated_time_remaining: Seconds | None = None


class ProgressFields(Struct, rename="camel"):
    """Further progress fields with a common meaning. The service forwards them unchecked."""

    current: Amount | UnsetType = UNSET
    total: Amount | UnsetType = UNSET
    unit: Annotated[str, Meta(description="Of current and total, such as file")] | UnsetType = UNSET
    indeterminate: Annotated[bool, Meta(description="True if the total is unknown")] | UnsetType = (
        UNSET
    )
    step_key: Annotated[str, Meta(description="Translation key of the step")] | UnsetType = UNSET
    step_params: dict[str, Any] | UnsetType = UNSET
    step_index: int | UnsetType = UNSET
    step_count: int | UnsetType = UNSET


class LogData(Struct):
    """A log line of a worker, with any further fields. The service forwards it unchecked."""

    text: str
    level: Literal["debug", "info", "warning", "error"] | UnsetType = UNSET
    time: Any = UNSET


class CompleteData(Struct, frozen=True):
    """The job's result: any JSON value."""

    result: Raw


class FailedData(Struct, frozen=True, rename="camel"):
    """Why the job failed: a text for people, and a stable code or null."""

    error: str
    error_code: str | None = None


class Connected(Struct, frozen=True, tag_field="type", tag="connected"):
    """The first event of every stream. A control frame, without id."""

    data: ConnectedData


class ManyConnected(Struct, frozen=True, tag_field="type", tag="connected"):
    """The first event of every stream of many jobs. A control frame, without id."""

    data: ManyConnectedData


class Left(Struct, frozen=True, tag_field="type", tag="left"):
    """A job left the stream: its events stop until it joins again. A control frame, without id."""

    data: LeftData


class Reset(Struct, frozen=True, tag_field="type", tag="reset"):
    """All earlier events of the job are void; the snapshot follows. A control frame, without id."""

    data: ResetData


class Ping(Struct, frozen=True, tag_field="type", tag="ping"):
    """A keepalive as an event, which ``?ping=1`` requests. A control frame, without id."""

    data: dict[str, Any]


class ProgressUpdate(Struct, frozen=True, tag_field="type", tag="progress-update", gc=False):
    """The job made progress. Also the snapshot of a queued or running job."""

    data: ProgressData


class StepChange(Struct, frozen=True, tag_field="type", tag="step-change"):
    """The job started, or its step changed."""

    data: ProgressData


class Complete(Struct, frozen=True, tag_field="type", tag="complete"):
    """The job succeeded. Last event of the attempt."""

    data: CompleteData


class Failed(Struct, frozen=True, tag_field="type", tag="failed"):
    """The job failed or was cancelled. Last event of the attempt."""

    data: FailedData


class Log(Struct, frozen=True, tag_field="type", tag="log"):
    """A log line of a worker. The service treats it as a custom event."""

    data: LogData


class Custom(Struct, frozen=True):
    """An event named by a worker. It is forwarded unchanged and is not part of the snapshot."""

    type: CustomName
    data: Annotated[Raw, Meta(extra_json_schema={"type": "object"})]


FrontendEvent = Connected | Reset | Ping | ProgressUpdate | StepChange | Complete | Failed | Log
Event = ProgressUpdate | StepChange | Complete | Failed | Custom
Terminal = Complete | Failed
TERMINAL_TYPES: Final = frozenset({Complete, Failed})
"""``Terminal`` as a set: a test for membership is faster than ``isinstance``."""


class InvalidEvent(ValueError):
    """An event breaks the frontend contract."""


def is_custom_name(name: str) -> bool:
    """Return whether a worker may give its own event this name."""
    is_reserved = name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIX)
    return not is_reserved and is_stored_custom_name(name)


def is_stored_custom_name(name: str) -> bool:
    """Return whether a log may hold a custom event of this name.

    Reserved names are allowed, because the log may be older than their reservation.
    """
    return (
        _is_custom_name(name) is not None
        and name not in CONTRACT_NAMES
        and name not in BROWSER_NAMES
    )


def normalize_json(text: bytes) -> bytes:
    """Return well-formed JSON on one line with its Unicode unescaped, otherwise unchanged.

    Raises:
        InvalidEvent: it is nested too deeply.
    """
    if _LF not in text and _CR not in text and (_BACKSLASH not in text or b"\\u" not in text):
        return text
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        return salvage(text.decode(errors="replace"))
    except ValueError as error:
        raise InvalidEvent(str(error)) from None
