"""The OpenAPI description of the HTTP interface, made from the structs that enforce it."""

from typing import Any, Final

import msgspec

from schema.events import ConnectedData, FailedData, ProgressData, ResetData
from schema.http import (
    CreateJob,
    ErrorBody,
    JobCancelled,
    JobCreated,
    JobList,
    JobRetried,
    JobStatus,
)

_BODIES: Final = (
    *(CreateJob, JobCreated, JobStatus, JobList, JobCancelled, JobRetried, ErrorBody),
    *(ConnectedData, ResetData, ProgressData, FailedData),
)
_REF: Final = "#/components/schemas/{name}"

_ERRORS: Final = {
    400: "A field of the request is wrong; the message names it",
    401: "No user and no session",
    404: "No such job, or somebody else's",
    409: "The Idempotency-Key was used for another request",
    429: "Too many open streams",
    500: "What is stored can't be read, or a mistake of the service; the same will happen again",
    503: "Redis or the key set can't be reached; try again after Retry-After seconds",
}

_EVENT: Final = {
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {
            "type": "string",
            "pattern": "^[0-9]+-[0-9]+$",
            "description": "Of the entry of the job's log; control frames have none",
        },
        "event": {
            "type": "string",
            "pattern": "^[a-z][a-z0-9-]{0,63}$",
            "description": (
                "Control frames: connected (ConnectedData), reset (ResetData) and, with ping=1, "
                "ping ({}). The job's own: progress-update and step-change (ProgressData and what "
                "the worker adds), complete ({result}), failed (FailedData). Others: the worker's"
            ),
        },
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"type": "object"},
        },
    },
}
_SEEN: Final = (
    "The id of the last event seen: the stream goes on after it, or with reset and a snapshot"
)
_FROM: Final = "Without a Last-Event-ID: every event of the current attempt, and no snapshot"
_PING: Final = "Keepalives are sent as an event, ping, in place of a comment"
_TRIED_AGAIN: Final = (429, 503)

_JOB_ID: Final = {
    "name": "jobId",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
}


def description(server: str = "/") -> dict[str, Any]:
    """Return the description, OpenAPI 3.1.

    Args:
        server: the prefix below which the service is mounted.
    """
    _, schemas = msgspec.json.schema_components(_BODIES, ref_template=_REF)
    job = "/api/v1/jobs/{jobId}"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Jobcast",
            "version": "1",
            "description": "Pushes the progress of background jobs to browsers.",
        },
        "servers": [{"url": server}],
        "paths": {
            "/api/v1/jobs": {
                "post": _operation(
                    "createJob",
                    "Create a job and queue it",
                    {201: JobCreated},
                    (400, 401, 409, 500, 503),
                    body=CreateJob,
                    parameters=[_header("Idempotency-Key", maxLength=255, pattern="[!-~]")],
                ),
                "get": _operation(
                    "listJobs",
                    "List the caller's jobs, newest first",
                    {200: JobList},
                    (400, 401, 500, 503),
                    parameters=[
                        _query("limit", {"type": "integer", "minimum": 1, "maximum": 100}),
                        _query("cursor", {"type": "string"}),
                    ],
                ),
            },
            f"{job}/status": {
                "parameters": [_JOB_ID],
                "get": _operation(
                    "getStatus", "Show a job", {200: JobStatus}, (401, 404, 500, 503)
                ),
            },
            f"{job}/stream": {
                "parameters": [_JOB_ID],
                "get": _operation(
                    "watchJob",
                    "Watch a job as Server-Sent Events",
                    {200: "text/event-stream", 204: None},
                    (401, 404, 429, 500, 503),
                    parameters=[
                        _header("Last-Event-ID", description=_SEEN),
                        _query("from", {"type": "string", "enum": ["start"]}, _FROM),
                        _query("ping", {"type": "string", "enum": ["1"]}, _PING),
                    ],
                ),
            },
            f"{job}/cancel": {
                "parameters": [_JOB_ID],
                "post": _operation(
                    "cancelJob", "Cancel a job", {200: JobCancelled}, (400, 401, 404, 500, 503)
                ),
            },
            f"{job}/retry": {
                "parameters": [_JOB_ID],
                "post": _operation(
                    "retryJob",
                    "Run a failed job again",
                    {200: JobRetried},
                    (400, 401, 404, 500, 503),
                ),
            },
        },
        "security": [{"bearer": []}, {"token": []}, {"session": []}, {"sessionInQuery": []}],
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "token": {"type": "apiKey", "in": "query", "name": "token"},
                "session": {"type": "apiKey", "in": "header", "name": "x-session-id"},
                "sessionInQuery": {"type": "apiKey", "in": "query", "name": "sessionId"},
            },
        },
    }


def _operation(  # noqa: PLR0913 - the parts of an operation
    name: str,
    summary: str,
    answers: dict[int, type | str | None],
    errors: tuple[int, ...],
    *,
    body: type | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    responses = {str(status): _response(content) for status, content in answers.items()}
    for status in errors:
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": _json(ErrorBody),
        }
        if status in _TRIED_AGAIN:
            responses[str(status)]["headers"] = {
                "Retry-After": {
                    "description": "Seconds to wait",
                    "required": True,
                    "schema": {"type": "integer", "minimum": 1},
                }
            }
    operation: dict[str, Any] = {"operationId": name, "summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    if parameters:
        operation["parameters"] = parameters
    return operation


def _response(content: type | str | None) -> dict[str, Any]:
    if content is None:
        return {"description": "The job has ended and the viewer has seen its end"}
    if isinstance(content, str):
        return {"description": "Events, each as follows", "content": {content: {"schema": _EVENT}}}
    if content is JobCreated:
        url = {"description": "Its status", "required": True, "schema": {"type": "string"}}
        return {
            "description": "Created",
            "headers": {"Location": url},
            "content": _json(content),
        }
    return {"description": "Done", "content": _json(content)}


def _json(body: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=body.__name__)}}}


def _query(name: str, schema: dict[str, Any], description: str | None = None) -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    return parameter if description is None else {**parameter, "description": description}


def _header(name: str, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": {"type": "string", **schema}}
