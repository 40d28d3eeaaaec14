"""Bodies of HTTP requests and responses. Requests are strict: an unknown field is an error."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from schema.entry_id import is_stored_id, timestamp
from schema.events import Percent, Seconds
from schema.state import JobState, Status
from schema.state_hash import STATUSES

MAX_DEPTH: Final = 100
"""How many levels of objects and arrays a job's input may have."""

Timestamp = Annotated[
    str, Meta(pattern=r"^[0-9]{4,}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}\.[0-9]{3}Z$")
]

Attempt = Annotated[int, Meta(description="Counts from 1; a retry raises it")]

ERROR_CODES: Final = (
    *("UNAUTHORIZED", "JOB_NOT_FOUND", "BAD_REQUEST", "JOB_NOT_CANCELLABLE", "JOB_NOT_FAILED"),
    *("IDEMPOTENCY_CONFLICT", "TOO_MANY_STREAMS", "SERVICE_UNAVAILABLE", "METHOD_NOT_ALLOWED"),
    *("NOT_FOUND", "INTERNAL"),
)
"""What an error may be called; a code keeps its meaning."""

_CONTAINERS: Final = (dict, list)


class CreateJob(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of ``POST /api/v1/jobs``."""

    type: Annotated[str, Meta(min_length=1, max_length=128)]
    input: dict[str, Any] = {}
    session_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse what a worker could not read: Python's own JSON reader ends near 1000 levels."""
        text = msgspec.json.encode(self.input)
        if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
            return  # what is looked at below can be slow, and this is the usual case
        level: list[Any] = [self.input]
        for _ in range(MAX_DEPTH):
            level = [inner for outer in level for inner in _within(outer)]
            if not level:
                return
        raise ValueError(f"input: nested more than {MAX_DEPTH} levels deep")


def _within(outer: Any) -> list[Any]:  # noqa: ANN401 - any JSON
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
        """Show a state."""
        return cls(job_id, result=state.result, **_of_any_job(state))


class JobSummary(Struct, frozen=True, rename="camel"):
    """A job in a listing: its status without the result, and its type."""

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
        """Show a state."""
        return cls(job_id, type=state.type, **_of_any_job(state))

    @classmethod
    def of_unreadable(
        cls, job_id: str, created: str, fields: Mapping[str, str | None]
    ) -> "JobSummary":
        """Show a job that can't be read, as far as its state says anything.

        Args:
            job_id: the job.
            created: id of its first entry, as the list has it.
            fields: those of its state, any of which may be missing or wrong.
        """
        status, last = fields.get("status"), fields.get("last")
        core = {
            "status": status if status in STATUSES else "failed",
            "created": created,
            "last": last if last is not None and is_stored_id(last) else created,
        }
        known = cls.of(job_id, JobState.from_hash({**fields, **core}))
        return replace(known, error="The job can't be read", error_code="INTERNAL")


_SHARED: Final = set(JobStatus.__struct_fields__) & set(JobSummary.__struct_fields__)
_OF_STATE: Final = tuple(_SHARED & set(JobState.__struct_fields__))


def _of_any_job(state: JobState) -> dict[str, Any]:
    """Return what a status and a summary both show, but for the job's id."""
    return {
        **{name: getattr(state, name) for name in _OF_STATE},
        "created_at": timestamp(state.created),
        "updated_at": timestamp(state.last),
    }


class JobList(Struct, frozen=True):
    """Answer to ``GET /api/v1/jobs``; ``cursor`` is null on the last page."""

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
    """Every error answer: a title, a text for people and a stable code."""

    success: Literal[False]
    error: str
    message: str
    code: Annotated[str, Meta(extra_json_schema={"enum": ERROR_CODES})]
