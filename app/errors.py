"""All errors of the HTTP interface, and their translation to answers."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from quart import Quart, Response
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from eventlog.errors import (
    IdempotencyConflict,
    LogUnavailable,
    NotCancellable,
    NotFailed,
    UnknownJob,
    Unreadable,
    UnreadableJob,
)
from schema.http import ErrorBody

_log = logging.getLogger("jobcast.http")


class ApiError(Exception):
    """An error with an HTTP answer.

    Attributes:
        status: HTTP status.
        title: ``error`` of the body.
        code: ``code`` of the body.
        text: default ``message`` of the body.
        retry_after_s: the ``Retry-After`` header.
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


class JobNotFound(ApiError):
    """The job does not exist, or has another owner."""

    text = "Job not found or access denied"
    status, title, code = 404, "Not found", "JOB_NOT_FOUND"


class BadRequest(ApiError):
    """The request is malformed."""

    text = "The request is malformed"
    status, title, code = 400, "Bad request", "BAD_REQUEST"


class NoQueue(ApiError):
    """The service has no queue on which it could put a job."""

    text = "This service has no queue: jobs are created and run by the worker library"
    status, title, code = 400, "Bad request", "NO_QUEUE"


class CrossOrigin(ApiError):
    """A page of another origin authenticates by cookie."""

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
    NotCancellable: (400, "Bad request", "Job is not cancellable", "JOB_NOT_CANCELLABLE"),
    NotFailed: (400, "Bad request", "Job is not in failed state", "JOB_NOT_FAILED"),
    IdempotencyConflict: (
        *(409, "Conflict", "The Idempotency-Key was used for another request."),
        "IDEMPOTENCY_CONFLICT",
    ),
}


class ErrorAnswer(NamedTuple):
    """The fields of an error answer."""

    status: int
    title: str
    message: str
    code: str
    retry_after_s: int | None = None


def answer_for(kind: type[Exception]) -> ErrorAnswer:
    """Return the answer to an ``ApiError`` or an error of the log."""
    if issubclass(kind, ApiError):
        return ErrorAnswer(kind.status, kind.title, kind.text, kind.code, kind.retry_after_s)
    return ErrorAnswer(*_OF_LOG[kind])


def answer(  # noqa: PLR0913 - the fields of an error
    status: int,
    title: str,
    message: str,
    code: str,
    *,
    retry_after_s: int | None = None,
    allow: str | None = None,
) -> Response:
    """Return an error as JSON."""
    response = Response(
        msgspec.json.encode(ErrorBody(success=False, error=title, message=message, code=code)),
        status,
        content_type="application/json",
    )
    response.headers["Cache-Control"] = "no-store"
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    if allow is not None:
        response.headers["Allow"] = allow
    return response


def _add(app: Quart, kind: type[Exception], handle: Callable[[Any], Response]) -> None:
    # Quart runs a plain function in a thread, which may hold the interpreter for 5 ms.
    async def handle_in_loop(error: Exception) -> Response:
        return handle(error)

    app.register_error_handler(kind, handle_in_loop)


def register(app: Quart) -> None:
    """Answer every error with JSON."""

    def of_api(error: ApiError) -> Response:
        return answer(
            error.status, error.title, str(error), error.code, retry_after_s=error.retry_after_s
        )

    def of_log(error: LogUnavailable) -> Response:
        _log.warning("redis is unavailable: %s", error.__cause__ or error)
        return of_api(ServiceUnavailable())

    def of_unreadable(error: Unreadable) -> Response:
        message = "What is stored of the job can't be read"
        if not isinstance(error, UnreadableJob):  # the reader logs those, once a job
            message = "What is stored can't be read"
            _log.error("corrupt data in Redis: %s", error)
        return answer(500, "Internal server error", message, "INTERNAL")

    def of_http(error: HTTPException) -> Response:
        # Breaks a cycle: the traceback holds the request, which holds its routing error.
        error.__traceback__ = error.__context__ = None
        status = error.code or 500
        if status in _OF_HTTP:
            title, message, code = _OF_HTTP[status]
        elif status < 500:  # noqa: PLR2004 - client errors
            title, code = error.name, "BAD_REQUEST"
            message = error.description or error.name
        else:
            title, message, code = "Internal server error", "Something went wrong", "INTERNAL"
        methods: Any = getattr(error, "valid_methods", None)
        return answer(status, title, message, code, allow=", ".join(methods) if methods else None)

    def of_other(error: Exception) -> Response:
        _log.exception("a request failed", exc_info=error)
        return answer(500, "Internal server error", "Something went wrong", "INTERNAL")

    _add(app, ApiError, of_api)
    _add(app, LogUnavailable, of_log)
    _add(app, Unreadable, of_unreadable)
    _add(app, UnknownJob, lambda _: of_api(JobNotFound()))
    for kind in _OF_LOG:
        _add(app, kind, lambda error: answer(*_OF_LOG[type(error)]))
    _add(app, RequestEntityTooLarge, lambda _: of_api(BadRequest("The body is larger than 1 MiB")))
    _add(app, HTTPException, of_http)
    _add(app, Exception, of_other)
