"""Parses the publications of publish-only workers, and recognizes their appends."""

from dataclasses import dataclass, field
from typing import Final

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._event import PROGRESS_FIELDS
from jobcast._json import from_json
from jobcast.protocol.append import Append
from jobcast.protocol.names import PLAIN, is_entry_id

PATTERN: Final = PLAIN.channel("*")
_PREFIX, _SUFFIX = PATTERN.encode().split(b"*")

_NOTHING_SAID: Final = ',"currentStep":null,"estimatedTimeRemaining":null}'


@dataclass(eq=False)
class Publication:
    """An event that was only published, and its append.

    ``payload`` is the whole message, ``received_s`` its time on the event loop's clock.
    ``entry_id`` is its entry in the log, empty while unknown.
    """

    event: Append
    payload: dict[str, object]
    received_s: float
    entry_id: str = field(default="")

    @property
    def name(self) -> str:
        """The event's name as viewers get it."""
        names = {"progress": "progress-update", "step": "step-change", "fail": "failed"}
        return self.event.name or names.get(self.event.operation, self.event.operation)

    @property
    def begins(self) -> bool:
        """Whether it reports only the start of the job."""
        event = self.event
        return event.operation == "step" and event.data == _NOTHING_SAID and event.number == "0"

    def is_entry(self, name: str, data: str) -> bool:
        """Return whether an entry may be its append; the script may have raised the progress."""
        if name != self.name:
            return False
        if self.event.operation not in {"progress", "step"}:
            return data == self.event.data
        head, tail = data[: -len(self.event.data)], self.event.data
        return data.endswith(tail) and head.removeprefix('{"progress":').isdecimal()


@dataclass(frozen=True)
class Appended:
    """The publication of an append: an entry of a log."""

    entry_id: str
    name: str
    data: str


def job_of(channel: bytes) -> str:
    """Return the job id in the name of a channel; it may be malformed."""
    return channel.removeprefix(_PREFIX).removesuffix(_SUFFIX).decode(errors="replace")


def parse(message: bytes, now_s: float) -> Publication | Appended:
    """Parse a message of a job's channel. Raises `InvalidEvent` if it breaks the contract."""
    try:
        payload = from_json(message)
    except ValueError as error:
        raise InvalidEvent(f"not JSON: {error}") from None
    if not isinstance(payload, dict):
        raise InvalidEvent("not a JSON object")
    name, entry_id = payload.get("event"), payload.get("id")
    if not isinstance(name, str) or "data" not in payload:
        raise InvalidEvent("event or data is missing")
    if entry_id is not None:
        if not isinstance(entry_id, str) or not is_entry_id(entry_id):
            raise InvalidEvent("its id is no id of an entry")
        # The append script puts the data last.
        _, _, data = message.partition(b'"data":')
        return Appended(entry_id, name, data[:-1].decode(errors="replace"))
    return Publication(append_of(name, payload["data"]), payload, now_s)


def append_of(name: str, data: object) -> Append:
    """Return the append of an event. Raises `InvalidEvent` if it breaks the contract."""
    if not isinstance(data, dict):
        raise InvalidEvent("data must be an object")
    if name in {"progress-update", "step-change"}:
        progress, step, eta = (data.get(field) for field in PROGRESS_FIELDS)
        if progress is None:
            raise InvalidEvent("progress is missing")
        more = {key: value for key, value in data.items() if key not in PROGRESS_FIELDS}
        if name == "step-change":
            return _event.changed(step, progress, eta, more)
        return _event.progressed(progress, step, eta, more)
    if name == "complete":
        return _event.completed(data.get("result"))
    if name == "failed":
        error = data.get("error")
        if not isinstance(error, str):
            raise InvalidEvent("error must be a string")
        return _event.failed(error, data.get("errorCode"))
    return _event.emitted(name, data)
