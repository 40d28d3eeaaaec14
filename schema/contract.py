"""The contract for programs: JSON Schema and TypeScript, made from the structs.

Schemas of requests are those of their structs. In all that the service sends, no field is absent:
optional ones are null.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from schema import http
from schema.events import Custom, FrontendEvent, LogData, ProgressData, ProgressFields

Schema = dict[str, Any]

EVENTS: Final[tuple[type[Struct], ...]] = get_args(FrontendEvent)
"""The events with a defined meaning."""

SENT: Final[tuple[type[Struct], ...]] = (*EVENTS, Custom)
"""All events of a stream."""

ENTRY_ID: Final = {"type": "string", "pattern": "^[0-9]+-[0-9]+$"}

BODIES: Final[tuple[type[Struct], ...]] = tuple(
    kind
    for kind in vars(http).values()
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == http.__name__
)

_OPEN: Final = (ProgressData, LogData)
"""Data to which workers may add fields."""

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


def name_of(event: type[Struct]) -> str:
    """Return the name of an event; ``custom`` if workers name it."""
    return str(event.__struct_config__.tag or "custom")


def definitions(ref: str = "#/$defs/{name}") -> dict[str, Schema]:
    """Return the JSON Schemas of all events, their data and all bodies, by name of the struct.

    Args:
        ref: template of references between them.
    """
    kinds = (*SENT, ProgressFields, *BODIES)
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


def stream_event(found: Mapping[str, Schema]) -> Schema:
    """Return the JSON Schema of an event on a stream, where its data is text.

    Args:
        found: the definitions.
    """
    events = (found[kind.__name__] for kind in SENT)
    return {
        "description": "The id is that of an entry of the job's log; control frames have none.",
        "anyOf": [
            {
                "type": "object",
                "title": event["title"],
                "description": event.get("description", ""),
                "required": ["event", "data"],
                "properties": {
                    "id": ENTRY_ID,
                    "event": event["properties"]["type"],
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": event["properties"]["data"],
                    },
                },
            }
            for event in events
        ],
    }


def typescript() -> str:
    """Return TypeScript declarations of all events, their data and all bodies."""
    found = definitions()
    parts = ["// Made by `just contract` from the structs in schema/."]
    for name, schema in found.items():
        lines = [f"{_comment(schema)}export interface {name} {{", *_members(schema), "}"]
        parts.append("\n".join(lines))
    names = " | ".join(kind.__name__ for kind in EVENTS)
    by_name = [f'  "{name_of(kind)}": {kind.__name__}["data"];' for kind in EVENTS]
    known = "/** An event with a defined meaning; all others are `Custom`. */"
    data = "/** The data of each event, by its name. */"
    parts += [
        f"{known}\nexport type FrontendEvent = {names};",
        "\n".join((f"{data}\nexport interface EventData {{", *by_name, "}")),
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
    """Return JSON with code in its texts marked as in Markdown."""
    if isinstance(text, str):
        return text.replace("``", "`").strip()
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
