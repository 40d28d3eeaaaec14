"""The AsyncAPI description of the streams, and of the channel in Redis."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from eventlog.publication import Publication
from jobcast.protocol.names import PLAIN, SHARDED
from schema.contract import (
    SENT,
    SENT_OF_MANY,
    Schema,
    data_of,
    definitions,
    frame_of,
    name_of,
    plain,
    publication_data,
)
from schema.entry import CREATED
from schema.events import CONTROL_NAMES

_REF: Final = "#/components/schemas/{name}"
_JOB_ID: Final = {"jobId": {"description": "The job's id"}}
_CREATED: Final = {
    "description": "The job was created",
    "properties": {"type": {"enum": [CREATED]}},
}


def asyncapi(openapi: Schema) -> Schema:
    """Return the description, AsyncAPI 3.0.

    Args:
        openapi: the OpenAPI description, from which the streams' paths and texts are taken.
    """
    path, stream = _operation(openapi, "watchJob")
    path_of_many, stream_of_many = _operation(openapi, "watchJobs")
    found = definitions(_REF)
    published = [kind for kind in SENT if name_of(kind) not in CONTROL_NAMES]
    return {
        "asyncapi": "3.0.0",
        "info": openapi["info"],
        "defaultContentType": "application/json",
        "servers": {
            "service": _server("https", "localhost:8000", pathname="/"),
            "redis": _server("redis", "localhost:6379"),
        },
        "channels": {
            "stream": {
                "address": path,
                "title": stream["summary"],
                "description": stream.get("description", ""),
                "servers": [{"$ref": "#/servers/service"}],
                "parameters": _JOB_ID,
                "messages": {name_of(kind): _stream_message(kind, found, SENT) for kind in SENT},
            },
            "streamOfMany": {
                "address": path_of_many,
                "title": stream_of_many["summary"],
                "description": stream_of_many.get("description", ""),
                "servers": [{"$ref": "#/servers/service"}],
                "messages": {
                    name_of(kind): _stream_message(kind, found, SENT_OF_MANY)
                    for kind in SENT_OF_MANY
                },
            },
            "publications": {
                "address": PLAIN.channel("{jobId}"),
                "title": "Publications of a job",
                "description": (
                    f"In a Cluster the channel is `{SHARDED.channel('jobId')}`, a sharded one. "
                    "The append script publishes with an id, a publish-only worker without."
                ),
                "servers": [{"$ref": "#/servers/redis"}],
                "parameters": _JOB_ID,
                "messages": {
                    **{
                        name_of(kind): _publication(found[kind.__name__], publication_data(kind))
                        for kind in published
                    },
                    CREATED: _publication(_CREATED, {"type": "object"}),
                },
            },
        },
        "operations": {
            "watch": {
                "action": "send",
                "channel": {"$ref": "#/channels/stream"},
                "bindings": {"http": {"method": "GET"}},
            },
            "watchMany": {
                "action": "send",
                "channel": {"$ref": "#/channels/streamOfMany"},
                "bindings": {"http": {"method": "GET"}},
            },
            "follow": {"action": "receive", "channel": {"$ref": "#/channels/publications"}},
        },
        "components": {"schemas": found},
    }


def with_prefix(document: Schema, prefix: str) -> Schema:
    """Return the description for a service mounted below a prefix."""
    servers = document["servers"]
    service = {**servers["service"], "pathname": prefix}
    return {**document, "servers": {**servers, "service": service}}


def _server(protocol: str, host: str, **more: str) -> Schema:
    variables = {"host": {"default": host}}
    return {"host": "{host}", "protocol": protocol, "variables": variables, **more}


def _operation(openapi: Schema, name: str) -> tuple[str, Schema]:
    """Return the path and the description of an operation."""
    return next(
        (path, methods["get"])
        for path, methods in openapi["paths"].items()
        if methods.get("get", {}).get("operationId") == name
    )


def _stream_message(
    kind: type[Struct], found: Mapping[str, Schema], sent: Sequence[type[Struct]]
) -> Schema:
    """Describe an event of a stream; its id and name are headers of the message."""
    frame = frame_of(kind, found, sent)
    return {
        "summary": found[kind.__name__].get("description", ""),
        "headers": {"type": "object", "required": ["event"], "properties": frame},
        "payload": data_of(kind, found, sent),
    }


def _publication(event: Schema, data: Schema) -> Schema:
    (publication,) = msgspec.json.schema(Publication)["$defs"].values()
    fields = {**publication["properties"], "event": event["properties"]["type"], "data": data}
    return {
        "summary": event.get("description", ""),
        "payload": {**plain(publication), "properties": fields},
    }
