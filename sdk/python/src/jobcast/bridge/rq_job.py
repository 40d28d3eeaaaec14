"""A job as RQ stores it in Redis, parsed without running any code of it."""

import base64
import io
import json
import pickle
import zlib
from typing import Any, Final, NamedTuple, Never

from jobcast import _event
from jobcast._errors import InvalidEvent
from jobcast._failure import MAX_MESSAGE_CHARACTERS
from jobcast.protocol.append import Append

PREFIX: Final = "rq:job:"
FIELDS: Final = (
    "status",
    "started_at",
    "enqueued_at",
    "meta",
    "data",
    "origin",
    "description",
    "exc_info",
)
ENDS: Final = ("finished", "failed", "stopped", "canceled")

_RESULTS: Final = "rq:results:"
_MAX_BYTES: Final = 4 * 1024 * 1024
_PICKLED: Final = b"\x80"
_OWN: Final = "_"
"""Prefix of names in ``meta`` that are not progress."""

Entry = tuple[bytes, list[bytes]]


class RqJob(NamedTuple):
    """A job as RQ stores it; times are texts, empty if there is none.

    RQ may move ``started_at`` a little within one execution, but not ``enqueued_at``.
    """

    status: str
    started_at: str
    enqueued_at: str
    meta: dict[str, object] | None
    data: bytes
    texts: dict[str, str]
    trace: bytes

    @classmethod
    def from_fields(cls, fields: list[bytes | None]) -> "RqJob | None":
        """Parse the fields of a job's hash; None if there is none.

        ``meta`` is None if it can't be parsed, for example because it holds an object of a class.
        """
        stored = [each or b"" for each in fields]
        status, started_at, enqueued_at, meta, data, origin, description, trace = stored
        if not status:
            return None
        try:
            value = value_of(meta) if meta else {}
        except InvalidEvent:
            value = None
        texts = {"origin": _text(origin), "description": _text(description)}
        own = None
        if isinstance(value, dict):
            own = {str(name): each for name, each in value.items()}
        return cls(_text(status), _text(started_at), _text(enqueued_at), own, data, texts, trace)

    def payload(self) -> dict[str, object]:
        """Return what may name an owner: ``origin``, ``description``, ``meta``, arguments."""
        args: object = ()
        kwargs: object = {}
        try:
            called = value_of(_inflated(self.data))
        except InvalidEvent:
            called = None
        if isinstance(called, tuple | list) and len(called) == 4:  # noqa: PLR2004 - RQ's own
            _, _, args, kwargs = called
        return {**self.texts, "meta": self.meta, "args": args, "kwargs": kwargs}

    def progress(self) -> dict[str, object]:
        """Return what ``meta`` reports as progress."""
        return {name: each for name, each in (self.meta or {}).items() if name[:1] != _OWN}

    def function(self) -> str:
        """Return the name of its function, from its description; else of its queue."""
        return self.texts["description"].partition("(")[0][:128] or self.texts["origin"] or "job"


def results_key(rq_id: str) -> str:
    """Return the key of the stream with a job's results."""
    return f"{_RESULTS}{rq_id}"


def end_of(job: RqJob, results: list[Entry]) -> Append:
    """Return the append of a job's end; ``results`` has the latest result, if any."""
    named: dict[bytes, bytes] = {}
    for _, fields in results[:1]:
        named = dict(zip(fields[::2], fields[1::2], strict=True))
    if job.status == "finished":
        return _completed(named.get(b"return_value", b""))
    if job.status in {"stopped", "canceled"}:
        return _event.CANCELLED
    try:
        packed = named.get(b"exc_string")
        trace = _inflated(base64.b64decode(packed) if packed else job.trace)
    except (ValueError, InvalidEvent):
        trace = b""
    return _event.failed(_last_line(trace), None)


def value_of(stored: bytes) -> object:
    """Return a value that RQ has stored, pickled or as JSON.

    Raises `InvalidEvent` if it can't be parsed. A pickle may contain only numbers, texts, lists,
    dicts and the like, so that loading it runs no code.
    """
    try:
        if stored[:1] == _PICKLED:
            return _Plain(io.BytesIO(stored)).load()
        return json.loads(stored)
    except Exception as error:  # noqa: BLE001 - unpickling raises anything
        raise InvalidEvent(f"it can't be read: {error}") from None


class _Plain(pickle.Unpickler):
    """Unpickles values without classes."""

    def find_class(self, module: str, name: str) -> Never:
        """Refuse a class or function."""
        raise pickle.UnpicklingError(f"it has a {module}.{name}")


def _completed(stored: bytes) -> Append:
    if not stored:
        return _event.completed(None)
    try:
        value: Any = value_of(base64.b64decode(stored))
        return _event.completed(value)
    except (ValueError, InvalidEvent):
        return _event.completed(None)


def _inflated(stored: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(stored, _MAX_BYTES)
    except zlib.error as error:
        raise InvalidEvent(f"it can't be read: {error}") from None


def _last_line(trace: bytes) -> str:
    """Return the message of the exception at the end of a traceback."""
    lines = _text(trace).strip().splitlines()
    last = lines[-1].strip() if lines else ""
    name, _, message = last.partition(": ")
    shown = message if message and name.isidentifier() else last
    return shown[:MAX_MESSAGE_CHARACTERS] or "The job failed"


def _text(stored: bytes) -> str:
    return stored.decode(errors="replace")
