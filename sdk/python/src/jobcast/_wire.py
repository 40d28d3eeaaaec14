"""How Jobcast is written down in Redis: names of keys and channels, ids, JSON text."""

import json
import math
import re
from typing import Final

from jobcast._errors import InvalidEvent
from jobcast._failure import text_of

MAX_EVENT_BYTES: Final = 1024 * 1024

LEASES_KEY: Final = "jobs:leases"
"""The sorted set of runs that hold a lease, by when it is over, in ms of the clock of Redis."""


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


_decode: Final = json.JSONDecoder(
    strict=False, parse_float=_finite, parse_constant=lambda _: None
).decode
# Made once: an encoder a call is half of what a short text takes.
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

is_entry_id: Final = re.compile(r"[0-9]{1,14}-[0-9]{1,20}").fullmatch
"""Say, by a match or None, whether a text is the id of a log entry."""

_JOB_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UUID: Final = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


def canonical_job_id(job_id: object) -> str:
    """Return the id as keys spell it: a UUID in lower case, any other id as it is.

    InvalidEvent unless it is 1-128 characters of letters, digits, ``.``, ``_`` and ``-``.
    """
    if not isinstance(job_id, str) or not _JOB_ID.fullmatch(job_id):
        raise InvalidEvent("job_id must be 1 to 128 letters, digits, dots, underscores and hyphens")
    return job_id.lower() if _UUID.fullmatch(job_id) else job_id


def job_keys(job_id: str) -> tuple[str, str]:
    """Return the log and the state of a job, which share a slot of a Cluster."""
    return f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"


def owner_keys(user_id: str | None, session_id: str | None) -> list[str]:
    """Return the indexes that list the jobs of these owners."""
    keys = []
    if user_id is not None:
        keys.append(f"jobs:by-user:{user_id}")
    if session_id is not None:
        keys.append(f"jobs:by-session:{session_id}")
    return keys


def index_member(created_id: str, job_id: str) -> str:
    """Return a job's member in its owners' indexes, which sorts by creation.

    ``created_id`` is the job's first log entry, ``<milliseconds>-<sequence>``.
    """
    milliseconds, _, _ = created_id.partition("-")
    return f"{milliseconds:0>13}:{job_id}"


def lease_member(job_id: str, run: str) -> str:
    """Return the member of the index of leases for a run; no job id has a colon."""
    return f"{job_id}:{run}"


def from_json(text: bytes) -> object:
    """Return the value of JSON that any language may have written; ValueError if it is none.

    A lone surrogate is U+FFFD, as in the service, and NaN or an infinity is None: `to_json` takes
    the value back.
    """
    try:
        value = _decode(text.decode("utf-8-sig", errors="replace"))
        if b"\\u" not in text:
            return value
        written = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return json.loads(written.decode("utf-16", "replace"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def to_json(value: object, what: str) -> str:
    """Return one line of compact JSON, UTF-8 unescaped; InvalidEvent, naming ``what``, otherwise.

    Refused are values that JSON lacks (NaN and infinity among them), text that is not Unicode
    (lone surrogates), and what is more than 1 MiB.
    """
    try:
        text = _encode(value)
        size = len(text.encode())
    except Exception as error:  # containers of a class of their own may raise any
        raise InvalidEvent(f"{what} can't be written as JSON: {text_of(error)}") from error
    if size > MAX_EVENT_BYTES:
        raise too_large(what, size)
    return text


def too_large(what: str, size: int) -> InvalidEvent:
    """Return the refusal of what has so many bytes."""
    return InvalidEvent(f"{what} has {size} bytes of JSON, more than {MAX_EVENT_BYTES}")
