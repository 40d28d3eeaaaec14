"""The documents of the contract that the service serves, built when one is first requested."""

import re

from markupsafe import Markup, escape
from msgspec import Struct
from quart import Quart

from app.asyncapi import asyncapi
from app.openapi import Version, openapi
from schema.contract import Schema, type_of


class Contract(Struct):
    """The documents of one application, without a prefix.

    Attributes:
        openapi: the OpenAPI documents, by version.
        asyncapi: the AsyncAPI document.
        page: the contract as HTML.
    """

    openapi: dict[Version, Schema]
    asyncapi: Schema
    page: str


def contract_of(app: Quart) -> Contract:
    """Build the documents of an application that has all its routes; it takes 0.1 s."""
    versions: tuple[Version, ...] = ("3.1.1", "3.2.0")
    documents = {version: openapi(app, version) for version in versions}
    newest = documents[versions[-1]]
    messages = asyncapi(newest)
    return Contract(documents, messages, _page(app, newest, messages))


def _page(app: Quart, calls: Schema, messages: Schema) -> str:
    schemas = calls["components"]["schemas"]

    def resolve(schema: Schema) -> Schema:
        """Resolve a reference, or the first one of ``allOf``."""
        schema = schema.get("allOf", [schema])[0]
        found: Schema = schemas.get(str(schema.get("$ref")).rpartition("/")[2], schema)
        return found

    environment = app.jinja_env.overlay(enable_async=False)
    filters = {"code": _code, "resolved": resolve, "type": type_of, "limits": _limits}
    environment.filters = {**environment.filters, **filters}
    return environment.get_template("docs.html").render(openapi=calls, asyncapi=messages)


def _code(text: str) -> Markup:
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - it is escaped


def _limits(schema: Schema) -> str:
    """Describe the limits that a schema sets beyond its type."""
    limits = [
        text.format(schema[word])
        for word, text in {
            "minimum": "at least {}",
            "maximum": "at most {}",
            "maxLength": "at most {} characters",
            "pattern": "matches `{}`",
            "default": "{} by default",
        }.items()
        if schema.get(word) not in (None, {})
    ]
    return ", ".join(limits)
