"""Bodies of HTTP requests and responses. Requests reject unknown fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from schema.entry_id import is_stored_id, timestamp
from schema.events import Percent, Seconds
from schema.state import JobState, Status
from schema.state_hash import STATUSES

MAX_TYPE: Final = 128
"""Characters of a job's type."""

MAX_DEPTH: Final = 100
"""Nesting limit of a job's input."""

Timestamp = Annotated[
    str, Meta(pattern=r"^[0-9]{4,}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}\.[0-9]{3}Z$")
]

Attempt = Annotated[int, Meta(description="Counts from 1; a retry raises it")]

ERROR_CODES: Final = (
    *("UNAUTHORIZED", "JOB_NOT_FOUND", "BAD_REQUEST", "JOB_NOT_CANCELLABLE", "JOB_NOT_FAILED"),
    *("IDEMPOTENCY_CONFLICT", "TOO_MANY_STREAMS", "SERVICE_UNAVAILABLE", "METHOD_NOT_ALLOWED"),
    *("NOT_FOUND", "INTERNAL", "NO_QUEUE"),
)
"""All error codes; a code never changes its meaning."""

_CONTAINERS: Final = (dict, list)


class CreateJob(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of ``POST /api/v1/jobs``."""

    type: Annotated[str, Meta(min_length=1, max_length=MAX_TYPE)]
    input: dict[str, Any] = {}
    session_id: str | None = None

    def __post_init__(self) -> None:
        """Reject input that workers could not parse: Python's ``json`` fails near 1000 levels."""
        text = msgspec.json.encode(self.input)
        if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
            return  # the usual case, decided without the slow walk below
        level: list[Any] = [self.input]
        for _ in range(MAX_DEPTH):
            level = [inner for outer in level for inner in _containers_in(outer)]
            if not level:
                return
        raise ValueError(f"input: nested more than {MAX_DEPTH} levels deep")


def _containers_in(outer: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    values = outer.values() if isinstance(outer, dict) else outer
    return [value for value in values if isinstance(value, _CONTAINERS)]


class JobCreated(Struct, frozen=True, rename="camel"):
    """Answer to ``POST /api/v1/jobs``."""

    job_id: str
    status_url: str
    stream_url: str


class JobStatus(Struct, frozen=True, rename="camel"):
    """Answer to ``GET …/status``; times are ISO 8601 with ``Z`` and milliseconds."""

    job_id: str
    status: Status
    progress: Percent
    current_step: str | None
    estimated_time_remaining: Seconds | None
    error: str | None
    error_code: str | None
    result: Raw
    attempt: Attempt
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, job_id: str, state: JobState) -> "JobStatus":
        """Return the status of a job in this state."""
        return cls(job_id, result=state.result, **_shared_fields(state))


class JobSummary(Struct, frozen=True, rename="camel"):
    """A job in a listing: its type, and its status without the result."""

    job_id: str
    type: str
    status: Status
    progress: Percent
    current_step: str | None
    estimated_time_remaining: Seconds | None
    error: str | None
    error_code: str | None
    attempt: Attempt
    created_at: Timestamp
    updated_at: Timestamp

    @classmethod
    def of(cls, job_id: str, state: JobState) -> "JobSummary":
        """Return the summary of a job in this state."""
        return cls(job_id, type=state.type, **_shared_fields(state))

    @classmethod
    def of_unreadable(
        cls, job_id: str, created: str, fields: Mapping[str, str | None]
    ) -> "JobSummary":
        """Summarize a job whose state is corrupt.

        Args:
            job_id: the job.
            created: id of its first entry, from the index.
            fields: its state hash, any field of which may be missing or invalid.
        """
        status, last = fields.get("status"), fields.get("last")
        core = {
            "status": status if status in STATUSES else "failed",
            "created": created,
            "last": last if last is not None and is_stored_id(last) else created,
        }
        known = cls.of(job_id, JobState.from_hash({**fields, **core}))
        return replace(known, error="The job can't be read", error_code="INTERNAL")


# A field of the state is shown by both, under its name, once both have it.
_SHARED: Final = set(JobStatus.__struct_fields__) & set(JobSummary.__struct_fields__)
_OF_STATE: Final = tuple(_SHARED & set(JobState.__struct_fields__))


def _shared_fields(state: JobState) -> dict[str, Any]:
    return {
        **{name: getattr(state, name) for name in _OF_STATE},
        "created_at": timestamp(state.created),
        "updated_at": timestamp(state.last),
    }


class JobList(Struct, frozen=True):
    """Answer to ``GET /api/v1/jobs``. ``cursor`` is null on the last page."""

    jobs: list[JobSummary]
    cursor: str | None


class JobCancelled(Struct, frozen=True):
    """Answer to ``POST …/cancel``."""

    cancelled: bool = True


class JobRetried(Struct, frozen=True, rename="camel"):
    """Answer to ``POST …/retry``."""

    job_id: str


class Health(Struct, frozen=True):
    """Answer to ``GET /healthz`` and ``GET /readyz``."""

    status: Literal["alive", "ready", "not ready"]


class ErrorBody(Struct, frozen=True):
    """Body of every error: a title, a text for people, and a stable code."""

    success: Literal[False]
    error: str
    message: str
    code: Annotated[str, Meta(extra_json_schema={"enum": ERROR_CODES})]
