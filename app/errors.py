"""Every error that a caller can meet, and the one place that turns it into an answer."""

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
    """The request can't be answered as asked.

    Attributes:
        status: of the answer.
        title: its ``error``.
        code: its ``code``.
        text: its ``message``, unless another is given.
        retry_after_s: seconds after which it may be asked for again.
    """

    text = "Something went wrong"
    status = 500
    title = "Internal server error"
    code = "INTERNAL"
    retry_after_s: int | None = None

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.text)


class Unauthorized(ApiError):
    """The request names nobody, or proves it badly."""

    text = "Authentication or session ID (x-session-id) is required"
    status, title, code = 401, "Unauthorized", "UNAUTHORIZED"


class JobNotFound(ApiError):
    """There is no such job, or it is somebody else's."""

    text = "Job not found or access denied"
    status, title, code = 404, "Not found", "JOB_NOT_FOUND"


class BadRequest(ApiError):
    """The request is not one that this address takes."""

    text = "The request is malformed"
    status, title, code = 400, "Bad request", "BAD_REQUEST"


class CrossOrigin(ApiError):
    """A page of another origin relies on a cookie."""

    text = "A cookie counts only for requests from an allowed origin"
    status, title, code = 401, "Unauthorized", "UNAUTHORIZED"


class TooManyStreams(ApiError):
    """The owner, or the job, has as many streams as it may."""

    text = "Too many open streams"
    status, title, code, retry_after_s = 429, "Too many requests", "TOO_MANY_STREAMS", 5


class ServiceUnavailable(ApiError):
    """Redis or the key set is unavailable, or the process is about to end."""

    text = "The service is temporarily unavailable"
    status, title, code, retry_after_s = 503, "Service unavailable", "SERVICE_UNAVAILABLE", 2


class ProcessFull(ServiceUnavailable):
    """The process has as many streams as it may."""

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


class Shown(NamedTuple):
    """What callers see of an error."""

    status: int
    title: str
    message: str
    code: str
    retry_after_s: int | None = None


def shown(kind: type[Exception]) -> Shown:
    """Return what callers see of a kind of error that has one answer."""
    if issubclass(kind, ApiError):
        return Shown(kind.status, kind.title, kind.text, kind.code, kind.retry_after_s)
    return Shown(*_OF_LOG[kind])


def answer(  # noqa: PLR0913 - the parts of an error answer
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
    async def handle_here(error: Exception) -> Response:
        return handle(error)

    # Quart would call a plain function in a thread, which takes the interpreter from the event loop
    # for as long as 5 ms.
    app.register_error_handler(kind, handle_here)


def register(app: Quart) -> None:
    """Answer every error of an app with JSON."""

    def of_api(error: ApiError) -> Response:
        return answer(
            error.status, error.title, str(error), error.code, retry_after_s=error.retry_after_s
        )

    def of_log(error: LogUnavailable) -> Response:
        _log.warning("redis is unavailable: %s", error.__cause__ or error)
        return of_api(ServiceUnavailable())

    def of_unreadable(error: Unreadable) -> Response:
        message = "What is stored of the job can't be read"
        if not isinstance(error, UnreadableJob):  # which is logged once where it is found
            message = "What is stored can't be read"
            _log.error("what is stored can't be read: %s", error)
        return answer(500, "Internal server error", message, "INTERNAL")

    def of_http(error: HTTPException) -> Response:
        # Their frames hold the request, which holds the error if there is no such route.
        error.__traceback__ = error.__context__ = None
        status = error.code or 500
        if status in _OF_HTTP:
            title, message, code = _OF_HTTP[status]
        elif status < 500:  # noqa: PLR2004 - the caller's fault
            title, code = error.name, "BAD_REQUEST"
            message = error.description or error.name
        else:
            title, message, code = "Internal server error", "Something went wrong", "INTERNAL"
        methods: Any = getattr(error, "valid_methods", None)
        return answer(status, title, message, code, allow=", ".join(methods) if methods else None)

    def of_anything(error: Exception) -> Response:
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
    _add(app, Exception, of_anything)
