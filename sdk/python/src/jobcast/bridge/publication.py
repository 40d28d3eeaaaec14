"""What a publish-only worker publishes, and how to recognize what was appended of it."""

from dataclasses import dataclass, field
from typing import Final

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._json import from_json
from jobcast.protocol.append import Append
from jobcast.protocol.names import is_entry_id

_PREFIX: Final = b"jobs:"
_SUFFIX: Final = b":events"
PATTERN: Final = "jobs:*:events"

_OF_PROGRESS: Final = ("progress", "currentStep", "estimatedTimeRemaining")
_NOTHING_SAID: Final = ',"currentStep":null,"estimatedTimeRemaining":null}'


@dataclass(eq=False)
class Publication:
    """An event that was only published: what it is appended as, and what it is the owner's of.

    ``payload`` is the whole message, ``received_s`` when it came, on the event loop's clock.
    ``entry_id`` is where it is in the log, empty as long as it is not known to be there.
    """

    event: Append
    payload: dict[str, object]
    received_s: float
    entry_id: str = field(default="")

    @property
    def name(self) -> str:
        """The name that viewers know the event by."""
        names = {"progress": "progress-update", "step": "step-change", "fail": "failed"}
        return self.event.name or names.get(self.event.operation, self.event.operation)

    @property
    def begins(self) -> bool:
        """Whether it says no more than that the job was started."""
        event = self.event
        return event.operation == "step" and event.data == _NOTHING_SAID and event.number == "0"

    def is_entry(self, name: str, data: str) -> bool:
        """Say whether an entry may be what was appended of it; a progress may have been raised."""
        if name != self.name:
            return False
        if self.event.operation not in {"progress", "step"}:
            return data == self.event.data
        head, tail = data[: -len(self.event.data)], self.event.data
        return data.endswith(tail) and head.removeprefix('{"progress":').isdecimal()


@dataclass(frozen=True)
class Appended:
    """The publication of an append: an entry that is in a log."""

    entry_id: str
    name: str
    data: str


def job_of(channel: bytes) -> str:
    """Return what stands for the job in the name of a channel."""
    return channel.removeprefix(_PREFIX).removesuffix(_SUFFIX).decode(errors="replace")


def parse(message: bytes, now_s: float) -> Publication | Appended:
    """Read a message of a job's channel; `InvalidEvent` if it breaks the contract."""
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
        # As the append script wrote it: the data stand last.
        _, _, data = message.partition(b'"data":')
        return Appended(entry_id, name, data[:-1].decode(errors="replace"))
    return Publication(append_of(name, payload["data"]), payload, now_s)


def append_of(name: str, data: object) -> Append:
    """Return what an event is appended as; `InvalidEvent` if it breaks the contract."""
    if not isinstance(data, dict):
        raise InvalidEvent("data must be an object")
    if name in {"progress-update", "step-change"}:
        progress, step, eta = (data.get(field) for field in _OF_PROGRESS)
        if progress is None:
            raise InvalidEvent("progress is missing")
        more = {key: value for key, value in data.items() if key not in _OF_PROGRESS}
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
