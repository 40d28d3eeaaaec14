"""Bodies of HTTP requests and responses. Requests reject unknown fields."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from msgspec.structs import replace

from schema.entry_id import is_stored_id, timestamp
from schema.events import Percent, Seconds
from schema.state import JobState, Status
from schema.state_hash import STATUSES

MAX_TYPE: Final = 128
"""Maximum length of a job's type, in characters."""

MAX_DEPTH: Final = 100
"""Maximum nesting of a job's input, in levels."""

MAX_ID: Final = 255
"""Maximum length of a user or session id, in characters."""

MAX_EVENTS: Final = 100
"""Maximum of events that one request may append."""

_MAX_INTEGER: Final = 2**53 - 1
"""The largest integer that every JSON parser represents exactly."""

Timestamp = Annotated[
    str, Meta(pattern=r"^[0-9]{4,}(-[0-9]{2}){2}T([0-9]{2}:){2}[0-9]{2}\.[0-9]{3}Z$")
]

Attempt = Annotated[int, Meta(description="Counts from 1; a retry raises it")]

ERROR_CODES: Final = (
    *("UNAUTHORIZED", "JOB_NOT_FOUND", "BAD_REQUEST", "JOB_NOT_CANCELLABLE", "JOB_NOT_FAILED"),
    *("IDEMPOTENCY_CONFLICT", "TOO_MANY_STREAMS", "SERVICE_UNAVAILABLE", "METHOD_NOT_ALLOWED"),
    *("NOT_FOUND", "INTERNAL", "NO_QUEUE", "FORBIDDEN", "TOO_LARGE", "JOB_EXISTS"),
    *("JOB_FINISHED", "JOB_STALLED", "JOB_SUPERSEDED", "JOB_NOT_RUNNING"),
)
"""All error codes; a code never changes its meaning."""

LEASE_S: Final = 60
"""Default time without a request after which the worker of a run counts as lost."""

JobType = Annotated[str, Meta(min_length=1, max_length=MAX_TYPE)]
Seq = Annotated[
    int, Meta(ge=1, le=_MAX_INTEGER, description="Number of the event within its run, rising")
]
RunToken = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9._-]{8,64}(?!\n)$",
        description="A random text that the worker draws anew for each run",
    ),
]
GivenAttempt = Annotated[
    int, Meta(ge=1, le=_MAX_INTEGER, description="The attempt that the run belongs to")
]
LeaseSeconds = Annotated[
    float,
    Meta(ge=1, le=86_400, description="When the worker counts as lost, without a further request"),
]
EntryIds = list[str | None]

_CONTAINERS: Final = (dict, list)


class CreateJob(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of ``POST /api/v1/jobs``."""

    type: JobType
    input: dict[str, Any] = {}
    session_id: str | None = None

    def __post_init__(self) -> None:
        """Reject input that workers could not parse: Python's ``json`` fails near 1000 levels."""
        check_depth("input", self.input)


class CreateJobAsWorker(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Body of ``POST /api/v1/jobs`` with a worker token, which names the job's owner."""

    type: JobType
    input: dict[str, Any] = {}
    user_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    session_id: Annotated[str, Meta(min_length=1, max_length=MAX_ID)] | None = None
    job_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,128}(?!\n)$")] | None = None
    queued: Annotated[
        bool, Meta(description="False: it is not put on the queue, as the worker runs it itself")
    ] = True

    def __post_init__(self) -> None:
        """Reject a job without an owner, and the same input as ``CreateJob``."""
        if self.user_id is None and self.session_id is None:
            raise ValueError("userId, sessionId: one of them is required, as the job's owner")
        check_depth("input", self.input)


class RunEvent(Struct, frozen=True, forbid_unknown_fields=True):
    """An event of a run, as its viewers get it."""

    seq: Seq
    event: Annotated[
        str, Meta(description="`step-change` starts the run if it is its first event (`seq` 1)")
    ]
    data: dict[str, Any] = {}


class AppendEvents(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Body of ``POST …/events``: events of one run, in order. An empty list renews its lease."""

    run: RunToken
    attempt: GivenAttempt | None = None
    lease_seconds: LeaseSeconds = LEASE_S
    events: Annotated[list[RunEvent], Meta(max_length=MAX_EVENTS)]


class AppendEvent(Struct, frozen=True, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Body of ``POST …/events``: one event."""

    run: RunToken
    attempt: GivenAttempt | None = None
    lease_seconds: LeaseSeconds = LEASE_S
    seq: Seq
    event: str
    data: dict[str, Any] = {}

    def as_batch(self) -> AppendEvents:
        """Return a batch with this event only."""
        return AppendEvents(
            run=self.run,
            attempt=self.attempt,
            lease_seconds=self.lease_seconds,
            events=[RunEvent(self.seq, self.event, self.data)],
        )


class StartedJob(Struct, frozen=True):
    """Type and input of the started job. ``input`` is null if the stored one is no JSON object."""

    type: str
    input: dict[str, Any] | None


class EventsAppended(Struct, frozen=True, rename="camel"):
    """Answer to ``POST …/events``. ``job`` is null unless the request started the run."""

    ids: Annotated[
        EntryIds,
        Meta(description="Log entries of the events; null: a repeat, and not in the log any more"),
    ]
    cancel_requested: Annotated[
        bool, Meta(description="True: the owner cancelled the job; end it by `failed`")
    ]
    attempt: Attempt
    job: StartedJob | None


def check_depth(name: str, value: dict[str, Any]) -> None:
    """Check how deeply JSON is nested.

    Raises:
        ValueError: it is nested too deeply; the message begins with ``name``.
    """
    text = msgspec.json.encode(value)
    if text.count(b"{") + text.count(b"[") <= MAX_DEPTH:
        return  # the usual case, decided without the slow walk below
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _containers_in(outer)]
        if not level:
            return
    raise ValueError(f"{name}: nested more than {MAX_DEPTH} levels deep")


def _containers_in(outer: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    values = outer.values() if isinstance(outer, dict) else outer
    return [value for value in values if isinstance(value, _CONTAINERS)]


class JobCreated(Struct, frozen=True, rename="camel"):
    """Answer to ``POST /api/v1/jobs``."""

    job_id: str
    status_url: str
    stream_url: str


class JobStatus(Struct, frozen=True, rename="camel"):
    """Answer to ``GET …/status``. Timestamps are ISO 8601 with milliseconds and ``Z``."""

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


# Fields of the state that both structs declare, under the same name, are copied.
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
    """Body of every error: a title, a message for people, and a stable code for programs."""

    success: Literal[False]
    error: str
    message: str
    code: Annotated[str, Meta(extra_json_schema={"enum": ERROR_CODES})]
    ids: (
        Annotated[
            EntryIds,
            Meta(
                description="Only of a batch that was begun: the log entries of the events before "
                "the one that was refused or not acknowledged"
            ),
        ]
        | UnsetType
    ) = UNSET
