"""The OpenAPI description of the HTTP interface, generated from the routes and the structs.

Handlers are decorated with what routes, docstrings and structs do not contain.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Literal, TypeVar

from msgspec import Struct
from quart import Quart

from app.errors import (
    ApiError,
    JobNotFound,
    ServiceUnavailable,
    Unauthorized,
    WorkerTokenRequired,
    answer_for,
)
from schema.contract import SENT, SENT_OF_MANY, Schema, definitions, plain, stream_event
from schema.http import ErrorBody

Version = Literal["3.1.1", "3.2.0"]
Handler = TypeVar("Handler", bound=Callable[..., Any])

WORKER: Final = ("worker",)
EVERYBODY: Final = ("bearer", "token", "session", "sessionInQuery")
"""Security schemes: those of workers, and those of owners."""

EVENT_STREAM: Final = "text/event-stream"


class Events(Struct, frozen=True):
    """Content of a stream: events that the schema of this name describes."""

    schema: str


EVENTS: Final = Events("StreamEvent")
EVENTS_OF_MANY: Final = Events("ManyStreamEvent")

_REF: Final = "#/components/schemas/{name}"
_JOB_ID: Final = {
    "name": "jobId",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
}
_WHO: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "token": {"type": "apiKey", "in": "query", "name": "token"},
    "session": {"type": "apiKey", "in": "header", "name": "x-session-id"},
    "sessionInQuery": {"type": "apiKey", "in": "query", "name": "sessionId"},
    "worker": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A token with the scope `jobs:publish`",
    },
}
_HEADERS: Final = {
    "Location": ("The status of what was created", {"type": "string"}),
    "Retry-After": ("Seconds to wait", {"type": "integer", "minimum": 1}),
}


class Operation(Struct, frozen=True):
    """Describes an operation; decorates its handler.

    Attributes:
        name: its ``operationId``.
        answers: content by status: a struct, a media type, events, or None for no content.
        body: struct of the request body; several are alternatives.
        parameters: query parameters and headers.
        errors: errors besides those of every operation.
        is_public: whether it needs no identity.
        security: the security schemes of those who may call it, unless it is public.
    """

    name: str
    answers: dict[int, "type[Struct] | str | Events | None"]
    body: Sequence[type[Struct]] = ()
    parameters: Sequence[Schema] = ()
    errors: Sequence[type[Exception]] = ()
    is_public: bool = False
    security: Sequence[str] = EVERYBODY

    def __call__(self, handler: Handler) -> Handler:
        """Register the description of a handler."""
        _OPERATIONS[handler] = self
        return handler


_OPERATIONS: Final[dict[Callable[..., Any], Operation]] = {}


def query(name: str, description: str, **schema: object) -> Schema:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": schema}


def header(name: str, description: str, **schema: object) -> Schema:
    """Describe a header."""
    return {**query(name, description, type="string", **schema), "in": "header"}


def openapi(app: Quart, version: Version) -> Schema:
    """Describe the routes of an app.

    Args:
        app: the app.
        version: version of OpenAPI; from 3.2 on it can describe a stream as a sequence of events.
    """
    schemas = definitions(_REF)
    paths: defaultdict[str, Schema] = defaultdict(dict)
    for rule in app.url_map.iter_rules():
        handler = app.view_functions[rule.endpoint]
        operation = _OPERATIONS.get(handler)
        if operation is None:
            continue
        path = re.sub(r"<\w+>", "{jobId}", rule.rule)
        of_job = path != rule.rule
        if of_job:
            paths[path]["parameters"] = [_JOB_ID]
        (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        paths[path][method.lower()] = _describe(operation, handler.__doc__ or "", version, of_job)
    return {
        "openapi": version,
        "info": {
            "title": "Jobcast",
            "version": "1",
            "description": "Pushes the progress of background jobs to browsers.",
        },
        "servers": [{"url": "/"}],
        "paths": dict(paths),
        "security": _security(EVERYBODY),
        "components": {
            "schemas": {
                **schemas,
                EVENTS.schema: stream_event(schemas, SENT),
                EVENTS_OF_MANY.schema: stream_event(schemas, SENT_OF_MANY),
            },
            "securitySchemes": _WHO,
        },
    }


def _describe(operation: Operation, doc: str, version: Version, of_job: bool) -> Schema:  # noqa: FBT001
    summary, _, description = plain(doc).partition("\n\n")
    responses = {
        str(status): _response(status, content, version)
        for status, content in operation.answers.items()
    }
    if not operation.is_public:
        unauthorized = WorkerTokenRequired if operation.security == WORKER else Unauthorized
        always = (unauthorized, ApiError, ServiceUnavailable)
        responses |= _errors((*always, *operation.errors, *((JobNotFound,) if of_job else ())))
    found: Schema = {"operationId": operation.name, "summary": summary.rstrip(".")}
    if description:
        found["description"] = " ".join(description.split())
    if operation.is_public:
        found["security"] = []
    elif operation.security != EVERYBODY:
        found["security"] = _security(operation.security)
    if operation.parameters:
        found["parameters"] = list(operation.parameters)
    if operation.body:
        found["requestBody"] = {"required": True, "content": _json(_any_of(operation.body))}
    return {**found, "responses": responses}


def _security(schemes: Iterable[str]) -> list[Schema]:
    return [{name: []} for name in schemes]


def _any_of(bodies: Sequence[type[Struct]]) -> Schema:
    return {"anyOf": [_ref(body) for body in bodies]}


def _response(status: int, content: type[Struct] | str | Events | None, version: Version) -> Schema:
    if content is None:
        return {"description": "There is nothing left to send"}
    if isinstance(content, Events):
        key = "schema" if version < "3.2" else "itemSchema"
        event = {key: {"$ref": _REF.format(name=content.schema)}}
        return {"description": "Events, until the stream ends", "content": {EVENT_STREAM: event}}
    if isinstance(content, str):
        return {"description": "As text", "content": {content: {"schema": {"type": "string"}}}}
    response = {"description": plain(content.__doc__ or ""), "content": _json(_ref(content))}
    return {**response, "headers": _headers("Location")} if status == 201 else response  # noqa: PLR2004


def _errors(kinds: Iterable[type[Exception]]) -> Iterator[tuple[str, Schema]]:
    by_status = defaultdict(list)
    for kind in kinds:
        by_status[answer_for(kind).status].append(answer_for(kind))
    for status, errors in sorted(by_status.items()):
        codes = {"properties": {"code": {"enum": [error.code for error in errors]}}}
        response = {
            "description": "; ".join(dict.fromkeys(error.message for error in errors)),
            "content": _json({"allOf": [_ref(ErrorBody), codes]}),
        }
        if any(error.retry_after_s for error in errors):
            response["headers"] = _headers("Retry-After")
        yield str(status), response


def _headers(name: str) -> Schema:
    description, schema = _HEADERS[name]
    return {name: {"description": description, "required": True, "schema": schema}}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _ref(body: type[Struct]) -> Schema:
    return {"$ref": _REF.format(name=body.__name__)}
