"""All errors of the HTTP interface, and their translation to responses."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType
from quart import Quart, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from eventlog.errors import (
    BadEvent,
    EventLogError,
    IdempotencyConflict,
    JobExists,
    JobFinished,
    JobStalled,
    LogUnavailable,
    NotCancellable,
    NotFailed,
    NotRunning,
    Superseded,
    UnknownJob,
    Unreadable,
    UnreadableJob,
)
from jobcast.redis.outages import Outages
from schema.http import EntryIds, ErrorBody

_log = logging.getLogger("jobcast.http")
_outages = Outages(_log, "requests are answered with 503: %s")
_corrupt = Outages(_log, "corrupt data in Redis: %s", logging.ERROR)


class ApiError(Exception):
    """An error that has an HTTP response.

    Attributes:
        status: HTTP status.
        title: ``error`` of the body.
        code: ``code`` of the body.
        text: default ``message`` of the body.
        retry_after_s: the ``Retry-After`` header, if any.
    """

    text = "Something went wrong"
    status = 500
    title = "Internal server error"
    code = "INTERNAL"
    retry_after_s: int | None = None

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.text)


class Unauthorized(ApiError):
    """The request has no valid token and no session."""

    text = "Authentication or session ID (x-session-id) is required"
    status, title, code = 401, "Unauthorized", "UNAUTHORIZED"


class WorkerTokenRequired(Unauthorized):
    """The call is for workers, and the request has no valid token."""

    text = "A worker token is required: Authorization: Bearer, with the scope jobs:publish"


class Forbidden(ApiError):
    """The token is valid but does not allow the call, whether or not its job exists."""

    text = "The token lacks the scope jobs:publish"
    status, title, code = 403, "Forbidden", "FORBIDDEN"


class JobNotFound(ApiError):
    """The job does not exist, or the caller may not access it."""

    text = "Job not found or access denied"
    status, title, code = 404, "Not found", "JOB_NOT_FOUND"


class BadRequest(ApiError):
    """The request is malformed."""

    text = "The request is malformed"
    status, title, code = 400, "Bad request", "BAD_REQUEST"


class TooLarge(ApiError):
    """The body of a worker's request, or one of its events, is too large."""

    text = "The body is larger than 1 MiB"
    status, title, code = 413, "Content too large", "TOO_LARGE"


class NoQueue(ApiError):
    """The service has no queue to put a job on."""

    text = (
        "This service has no queue: workers create the jobs that they run, by the library or over "
        "HTTP with queued: false"
    )
    status, title, code = 400, "Bad request", "NO_QUEUE"


class CrossOrigin(ApiError):
    """A page of another origin authenticates with a cookie."""

    text = "A cookie counts only for requests from an allowed origin"
    status, title, code = 401, "Unauthorized", "UNAUTHORIZED"


class TooManyStreams(ApiError):
    """The owner or the job has reached its limit of streams."""

    text = "Too many open streams"
    status, title, code, retry_after_s = 429, "Too many requests", "TOO_MANY_STREAMS", 5


class ServiceUnavailable(ApiError):
    """Redis or the key set is unavailable, or the process is draining."""

    text = "The service is temporarily unavailable"
    status, title, code, retry_after_s = 503, "Service unavailable", "SERVICE_UNAVAILABLE", 2


class ProcessFull(ServiceUnavailable):
    """The process has reached its limit of streams."""

    text = "This process has as many open streams as it may"
    code = "TOO_MANY_STREAMS"


_OF_HTTP = {
    404: ("Not found", "There is nothing at this address", "NOT_FOUND"),
    405: ("Method not allowed", "This address does not take this method", "METHOD_NOT_ALLOWED"),
}

_OF_LOG: dict[type[Exception], tuple[int, str, str, str]] = {
    JobExists: (409, "Conflict", "A job with this id exists already", "JOB_EXISTS"),
    JobFinished: (409, "Conflict", "The job has finished already", "JOB_FINISHED"),
    JobStalled: (
        *(409, "Conflict", "The lease of this run has expired, so the job was failed"),
        "JOB_STALLED",
    ),
    Superseded: (
        409,
        "Conflict",
        "Another run or attempt has taken the job over",
        "JOB_SUPERSEDED",
    ),
    NotRunning: (
        *(409, "Conflict", "The job is queued: start it by a step-change whose seq is 1"),
        "JOB_NOT_RUNNING",
    ),
    NotCancellable: (400, "Bad request", "Job is not cancellable", "JOB_NOT_CANCELLABLE"),
    NotFailed: (400, "Bad request", "Job is not in failed state", "JOB_NOT_FAILED"),
    IdempotencyConflict: (
        *(409, "Conflict", "The Idempotency-Key was used for another request."),
        "IDEMPOTENCY_CONFLICT",
    ),
}


class BatchStopped(Exception):
    """An event of a batch was refused, or not acknowledged.

    Args:
        cause: the error of that event.
        ids: log entries of the events before it.
    """

    def __init__(self, cause: ApiError | EventLogError, ids: EntryIds) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.ids = ids


class ErrorAnswer(NamedTuple):
    """The fields of an error response."""

    status: int
    title: str
    message: str
    code: str
    retry_after_s: int | None = None
    allow: str | None = None
    ids: EntryIds | UnsetType = UNSET

    def response(self) -> Response:
        """Return the error as JSON."""
        response = Response(
            msgspec.json.encode(
                ErrorBody(
                    success=False,
                    error=self.title,
                    message=self.message,
                    code=self.code,
                    ids=self.ids,
                )
            ),
            self.status,
            content_type="application/json",
        )
        response.headers["Cache-Control"] = "no-store"
        if self.retry_after_s is not None:
            response.headers["Retry-After"] = str(self.retry_after_s)
        if self.allow is not None:
            response.headers["Allow"] = self.allow
        return response


_INTERNAL = ErrorAnswer(500, "Internal server error", "Something went wrong", "INTERNAL")


def answer_for(kind: type[Exception]) -> ErrorAnswer:
    """Return the default response for a class of ``ApiError`` or of errors of the log."""
    if issubclass(kind, ApiError):
        return ErrorAnswer(kind.status, kind.title, kind.text, kind.code, kind.retry_after_s)
    return ErrorAnswer(*_OF_LOG[kind])


def register(app: Quart) -> None:
    """Register handlers that respond to every error with JSON."""
    handlers: dict[type[Exception], Callable[[Any], ErrorAnswer]] = {
        ApiError: _of_api,
        LogUnavailable: _of_log,
        Unreadable: _of_unreadable,
        UnknownJob: lambda _: _of_api(JobNotFound()),
        BadEvent: lambda error: _of_api(TooLarge(str(error))),
        **dict.fromkeys(_OF_LOG, lambda error: answer_for(type(error))),
        RequestEntityTooLarge: lambda _: _of_api(BadRequest(TooLarge.text)),
        HTTPException: _of_http,
        Exception: _of_other,
    }

    def of_batch(stopped: BatchStopped) -> ErrorAnswer:
        handle = next(handlers[kind] for kind in type(stopped.cause).__mro__ if kind in handlers)
        return handle(stopped.cause)._replace(ids=stopped.ids)

    handlers[BatchStopped] = of_batch
    for kind, handle in handlers.items():
        _add(app, kind, handle)


def _add(app: Quart, kind: type[Exception], handle: Callable[[Any], ErrorAnswer]) -> None:
    # Quart runs a plain function in a thread, which may hold the GIL for 5 ms.
    async def handle_in_loop(error: Exception) -> Response:
        return handle(error).response()

    app.register_error_handler(kind, handle_in_loop)


def _of_api(error: ApiError) -> ErrorAnswer:
    return answer_for(type(error))._replace(message=str(error))


def _of_log(error: LogUnavailable) -> ErrorAnswer:
    _outages.add(error)
    return _of_api(ServiceUnavailable())


def _of_unreadable(error: Unreadable) -> ErrorAnswer:
    if isinstance(error, UnreadableJob):  # the reader logs it, once for each job
        return _INTERNAL._replace(message="What is stored of the job can't be read")
    _corrupt.add(error)
    return _INTERNAL._replace(message="What is stored can't be read")


def _of_http(error: HTTPException) -> ErrorAnswer:
    # Breaks a cycle: the traceback holds the request, which holds its routing error.
    error.__traceback__ = error.__context__ = None
    status = error.code or 500
    methods: Any = getattr(error, "valid_methods", None)
    allow = ", ".join(methods) if methods else None
    if status in _OF_HTTP:
        return ErrorAnswer(status, *_OF_HTTP[status], allow=allow)
    if status < 500:  # noqa: PLR2004 - client errors
        return ErrorAnswer(
            status, error.name, error.description or error.name, "BAD_REQUEST", allow=allow
        )
    return _INTERNAL._replace(status=status)


def _of_other(error: Exception) -> ErrorAnswer:
    _log.exception("a request failed", exc_info=error)
    return _INTERNAL
