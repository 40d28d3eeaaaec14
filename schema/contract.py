"""The contract for programs: JSON Schema and TypeScript, generated from the structs.

Requests may omit fields that have a default. In what the service sends, all required fields are
present; those without a value are null.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from schema import http
from schema.events import (
    CONTROL_NAMES,
    Connected,
    Custom,
    FrontendEvent,
    Left,
    LogData,
    ManyConnected,
    Ping,
    ProgressData,
    ProgressFields,
)

Schema = dict[str, Any]

EVENTS: Final[tuple[type[Struct], ...]] = get_args(FrontendEvent)
"""The events with a defined meaning."""

SENT: Final[tuple[type[Struct], ...]] = (*EVENTS, Custom)
"""All events of a stream of one job."""

_OF_MANY_ALONE: Final[tuple[type[Struct], ...]] = (ManyConnected, Left)

SENT_OF_MANY: Final[tuple[type[Struct], ...]] = (
    *_OF_MANY_ALONE,
    *(kind for kind in SENT if kind is not Connected),
)
"""All events of a stream of many jobs."""

_ABOUT_THE_STREAM: Final = (*_OF_MANY_ALONE, Ping)
"""Events of a stream of many jobs to whose data no ``jobId`` is added."""

JOB_ID: Final = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}

ENTRY_ID: Final = {"type": "string", "pattern": "^[0-9]+-[0-9]+$"}

BODIES: Final[tuple[type[Struct], ...]] = tuple(
    kind
    for kind in vars(http).values()
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == http.__name__
)

_OPEN: Final = (ProgressData, LogData)
"""Structs of data to which workers may add fields."""

_TYPES: Final = {
    "array": "unknown[]",
    "boolean": "boolean",
    "integer": "number",
    "null": "null",
    "number": "number",
    "object": "Record<string, unknown>",
    "string": "string",
}
"""TypeScript types by JSON Schema type."""


_OF_JOB: Final = {"type": "object", "required": ["jobId"], "properties": {"jobId": JOB_ID}}


def name_of(event: type[Struct]) -> str:
    """Return the name of an event; ``custom`` for events that workers name."""
    return str(event.__struct_config__.tag or "custom")


def definitions(ref: str = "#/$defs/{name}") -> dict[str, Schema]:
    """Return the JSON Schemas of all events, their data and all bodies, by name of the struct.

    Args:
        ref: format string of the references between them.
    """
    kinds = (*SENT, *_OF_MANY_ALONE, ProgressFields, *BODIES)
    _, found = msgspec.json.schema_components(kinds, ref_template=ref)
    further = found.pop(ProgressFields.__name__)
    found = {name: _complete(schema) for name, schema in found.items()}
    for kind in _OPEN:
        found[kind.__name__]["additionalProperties"] = True
    found[ProgressData.__name__]["properties"] |= further["properties"]
    return found


def publication_data(event: type[Struct]) -> Schema:
    """Return the JSON Schema of an event's data as a worker may publish it."""
    (data,) = (field.type for field in fields(event) if field.name == "data")
    schema: Schema = plain(msgspec.json.schema(data))
    (found,) = schema.get("$defs", {"": schema}).values()
    return dict(found)


def json_schema() -> Schema:
    """Return one JSON Schema of all events in their logical form, with all definitions."""
    found = definitions()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Jobcast",
        "description": plain(__doc__.partition("\n\n")[2]),
        "anyOf": [{"$ref": f"#/$defs/{kind.__name__}"} for kind in SENT],
        "$defs": found,
    }


def stream_event(found: Mapping[str, Schema], sent: Sequence[type[Struct]]) -> Schema:
    """Return the JSON Schema of an event on a stream, where its data is text.

    Args:
        found: the definitions.
        sent: the events of the stream: ``SENT`` or ``SENT_OF_MANY``.
    """
    return {
        "description": (
            "The id is that of an entry of the job's log; control frames have none."
            if sent is SENT
            else "No event has an id."
        ),
        "anyOf": [_event_as_text(kind, found, sent) for kind in sent],
    }


def _event_as_text(
    kind: type[Struct], found: Mapping[str, Schema], sent: Sequence[type[Struct]]
) -> Schema:
    event, frame = found[kind.__name__], frame_of(kind, found, sent)
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": data_of(kind, found, sent),
    }
    return {
        "type": "object",
        "title": event["title"],
        "description": event.get("description", ""),
        "required": ["event", "data"],
        "properties": {**frame, "data": data},
    }


def frame_of(
    kind: type[Struct], found: Mapping[str, Schema], sent: Sequence[type[Struct]]
) -> Schema:
    """Return the schemas of the fields of an event's frame, without its data."""
    name = {"event": found[kind.__name__]["properties"]["type"]}
    has_id = sent is SENT and name_of(kind) not in CONTROL_NAMES
    return {"id": ENTRY_ID, **name} if has_id else name


def data_of(
    kind: type[Struct], found: Mapping[str, Schema], sent: Sequence[type[Struct]]
) -> Schema:
    """Return the JSON Schema of an event's data; on a stream of many it includes the job's id."""
    data: Schema = found[kind.__name__]["properties"]["data"]
    if sent is SENT or kind in _ABOUT_THE_STREAM:
        return data
    return {"allOf": [_OF_JOB, data]}


def typescript() -> str:
    """Return TypeScript declarations of all events, their data and all bodies."""
    found = definitions()
    parts = ["// Made by `just contract` from the structs in schema/."]
    for name, schema in found.items():
        lines = [f"{_comment(schema)}export interface {name} {{", *_members(schema), "}"]
        parts.append("\n".join(lines))
    names = " | ".join(kind.__name__ for kind in EVENTS)
    by_name = [f'  "{name_of(kind)}": {kind.__name__}["data"];' for kind in EVENTS]
    of_many = [
        f'  "{name_of(kind)}": {kind.__name__}["data"]'
        + (";" if kind in _ABOUT_THE_STREAM else " & { jobId: string };")
        for kind in SENT_OF_MANY
        if kind is not Custom
    ]
    known = "/** An event with a defined meaning; all others are `Custom`. */"
    data = "/** The data of each event, by its name. */"
    data_of_many = "/** The same, on a stream of many jobs. */"
    parts += [
        f"{known}\nexport type FrontendEvent = {names};",
        "\n".join((f"{data}\nexport interface EventData {{", *by_name, "}")),
        "\n".join((f"{data_of_many}\nexport interface ManyEventData {{", *of_many, "}")),
    ]
    return "\n\n".join(parts) + "\n"


def type_of(schema: Schema) -> str:
    """Return a JSON Schema as a TypeScript type."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(type_of, schema["anyOf"])))
    if "items" in schema:
        item = type_of(schema["items"])
        return f"({item})[]" if " | " in item else f"{item}[]"
    return _TYPES.get(schema.get("type", ""), "unknown")


def plain(text: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with Markdown texts: code in single backticks, no docstring indentation."""
    if isinstance(text, str):
        return text.replace("\n    ", "\n").replace("``", "`").strip()
    if isinstance(text, Mapping):
        return {name: plain(value) for name, value in text.items()}
    return [plain(value) for value in text] if isinstance(text, list) else text


def _complete(schema: Schema) -> Schema:
    schema = plain(schema)
    if schema.get("additionalProperties") is not False:
        properties = schema["properties"]
        written = {name for name in properties if "default" in properties[name]}
        schema["required"] = [
            name for name in properties if name in {*schema["required"], *written}
        ]
        for name in written:
            del properties[name]["default"]
    return schema


def _members(schema: Schema) -> Iterator[str]:
    for name, of in schema["properties"].items():
        optional = "" if name in schema["required"] else "?"
        yield f"{_comment(of, '  ')}  {name}{optional}: {type_of(of)};"
    if schema.get("additionalProperties"):
        yield "  [field: string]: unknown;"


def _comment(schema: Schema, indent: str = "") -> str:
    text = schema.get("description", "")
    if "\n" not in text:
        return f"{indent}/** {text} */\n" if text else ""
    lines = [f"{indent} * {line}".rstrip() for line in text.split("\n")]
    return "\n".join((f"{indent}/**", *lines, f"{indent} */\n"))
