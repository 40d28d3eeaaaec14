"""The frontend contract: what a viewer is sent, as one tagged union.

The union is the logical form, ``{"type": …, "data": …}``. On a stream ``type`` becomes the
``event:`` field and ``data`` alone becomes the ``data:`` line (see ``schema.sse``).

Source: contract §4; seed document, "Event schema (frontend contract)".
"""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from schema.salvage import salvaged

MAX_EVENT_BYTES: Final = 1024 * 1024
"""The largest ``data`` of one event, as JSON."""

NO_REASON: Final = "The job failed"
"""The error of a failed job of which no text says why."""

# As numbers: a text is searched for a byte five times as fast as for a text of one byte.
_LF, _CR, _BACKSLASH = b"\n\r\\"

_CUSTOM_NAME: Final = r"[a-z][a-z0-9-]{0,63}"
_is_custom_name = re.compile(_CUSTOM_NAME).fullmatch

CONTROL_NAMES: Final = frozenset({"connected", "reset", "ping", "left"})
"""What the stream itself says. No entry of a log is ever shown under such a name."""

BROWSER_NAMES: Final = frozenset({"message", "error", "open"})
"""Names of events that an ``EventSource`` dispatches of its own."""

CONTRACT_NAMES: Final = CONTROL_NAMES | {"progress-update", "step-change", "complete", "failed"}

_KEPT_NAMES: Final = frozenset({"chunk", "artifact", "input-requested"})
_KEPT_PREFIX: Final = "child-"

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
    """Tells a viewer what it is connected to; times are seconds."""

    connection_id: str
    job_id: str
    max_age_seconds: float
    keepalive_seconds: float


class ResetData(Struct, frozen=True):
    """The job's attempt, and why a viewer can't go on from what it has seen."""

    attempt: int
    reason: Literal["attempt", "trimmed", "unknown"]


class ProgressData(Struct, frozen=True, rename="camel", gc=False):
    """How far a job is: percent, what it does, and the seconds it expects to need."""

    progress: Percent
    current_step: str | None = None
    estimated_time_remaining: Seconds | None = None


class ProgressFields(Struct, rename="camel"):
    """What further fields of progress mean to every page; the service passes on any, unchecked."""

    current: Amount | UnsetType = UNSET
    total: Amount | UnsetType = UNSET
    unit: Annotated[str, Meta(description="What is counted: file")] | UnsetType = UNSET
    indeterminate: (
        Annotated[bool, Meta(description="True: how much there is is unknown")] | UnsetType
    ) = UNSET
    step_key: Annotated[str, Meta(description="Of the step's translations")] | UnsetType = UNSET
    step_params: dict[str, Any] | UnsetType = UNSET
    step_index: int | UnsetType = UNSET
    step_count: int | UnsetType = UNSET


class LogData(Struct):
    """A line of a worker, which the service passes on unchecked, with any further fields."""

    text: str
    level: Literal["debug", "info", "warning", "error"] | UnsetType = UNSET
    time: Any = UNSET


class CompleteData(Struct, frozen=True):
    """The result of a job: any JSON value."""

    result: Raw


class FailedData(Struct, frozen=True, rename="camel"):
    """Why a job failed: a text for people, and a stable code where there is one."""

    error: str
    error_code: str | None = None


class Connected(Struct, frozen=True, tag_field="type", tag="connected"):
    """First event of every stream. A control frame: it has no id."""

    data: ConnectedData


class Reset(Struct, frozen=True, tag_field="type", tag="reset"):
    """What was shown before is void; the snapshot follows. A control frame: it has no id."""

    data: ResetData


class Ping(Struct, frozen=True, tag_field="type", tag="ping"):
    """The stream was silent for a while. A control frame: it has no id."""

    data: dict[str, Any]


class ProgressUpdate(Struct, frozen=True, tag_field="type", tag="progress-update", gc=False):
    """The job advanced."""

    data: ProgressData


class StepChange(Struct, frozen=True, tag_field="type", tag="step-change"):
    """The job started, or its step changed."""

    data: ProgressData


class Complete(Struct, frozen=True, tag_field="type", tag="complete"):
    """The job succeeded. Last event of its attempt."""

    data: CompleteData


class Failed(Struct, frozen=True, tag_field="type", tag="failed"):
    """The job failed or was cancelled. Last event of its attempt."""

    data: FailedData


class Log(Struct, frozen=True, tag_field="type", tag="log"):
    """A worker says something. To the service it is a custom event."""

    data: LogData


class Custom(Struct, frozen=True):
    """An event that a worker named; Jobcast passes it on and keeps no state of it."""

    type: CustomName
    data: Annotated[Raw, Meta(extra_json_schema={"type": "object"})]


FrontendEvent = Connected | Reset | Ping | ProgressUpdate | StepChange | Complete | Failed | Log
Event = ProgressUpdate | StepChange | Complete | Failed | Custom
Terminal = Complete | Failed
TERMINAL: Final = frozenset({Complete, Failed})


class InvalidEvent(ValueError):
    """An event breaks the frontend contract."""


def is_custom_name(name: str) -> bool:
    """Say whether a worker may give its own event this name."""
    return was_custom_name(name) and name not in _KEPT_NAMES and not name.startswith(_KEPT_PREFIX)


def was_custom_name(name: str) -> bool:
    """Say whether the name of an entry in a log is a worker's own.

    A log may be older than the names that are kept for later: what it holds is shown as it was.
    """
    return (
        _is_custom_name(name) is not None
        and name not in CONTRACT_NAMES
        and name not in BROWSER_NAMES
    )


def one_line(text: bytes) -> bytes:
    """Return JSON as one line with its unicode unescaped, otherwise as it was.

    Args:
        text: JSON, known to be well formed.

    Raises:
        InvalidEvent: it is nested too deeply.
    """
    if _LF not in text and _CR not in text and (_BACKSLASH not in text or b"\\u" not in text):
        return text
    try:
        return msgspec.json.encode(msgspec.json.decode(text))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _salvaged_line(text)


def _salvaged_line(text: bytes) -> bytes:
    try:
        return salvaged(text.decode(errors="replace"))
    except ValueError as error:
        raise InvalidEvent(str(error)) from None
