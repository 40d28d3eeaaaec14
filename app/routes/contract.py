"""``/openapi.json``, ``/asyncapi.json`` and ``/docs``: the contract, for programs and people."""

import asyncio
from collections.abc import Callable

from quart import Blueprint, Response, current_app, request

from app.asyncapi import with_prefix
from app.contract import Contract
from app.openapi import Version
from app.prefix import public_path
from app.requests import as_json
from app.routes.page import CSP

blueprint = Blueprint("contract", __name__)


@blueprint.get("/openapi.json")
async def openapi_3_1() -> Response:
    """Describe the HTTP interface."""
    return await _openapi("3.1.1")


@blueprint.get("/openapi-3.2.json")
async def openapi_3_2() -> Response:
    """Describe the HTTP interface, with streams as sequences of events."""
    return await _openapi("3.2.0")


@blueprint.get("/asyncapi.json")
async def asyncapi() -> Response:
    """Describe the stream and the channel in Redis."""
    return as_json(
        with_prefix((await _contract()).asyncapi, public_path(request.root_path, "") or "/")
    )


@blueprint.get("/docs")
async def docs() -> Response:
    """Show the contract as a page."""
    response = Response((await _contract()).page, content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = CSP.format(base_uri="'none'")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


async def _openapi(version: Version) -> Response:
    server = {"url": public_path(request.root_path, "") or "/"}
    return as_json({**(await _contract()).openapi[version], "servers": [server]})


async def _contract() -> Contract:
    """Return the documents; a thread builds them at the first call, as that takes long."""
    contract: Callable[[], Contract] = current_app.extensions["jobcast.contract"]
    return await asyncio.to_thread(contract)
