"""``/openapi.json``, ``/asyncapi.json`` and ``/docs``: the contract, for programs and people."""

from quart import Blueprint, Response, current_app, request

from app.asyncapi import mounted
from app.contract import Contract
from app.openapi import Version
from app.prefix import public
from app.requests import as_json
from app.routes.page import CSP

blueprint = Blueprint("contract", __name__)


@blueprint.get("/openapi.json")
async def openapi_3_1() -> Response:
    """Describe the HTTP interface."""
    return _openapi("3.1.1")


@blueprint.get("/openapi-3.2.json")
async def openapi_3_2() -> Response:
    """Describe the HTTP interface, the events of a stream as a sequence."""
    return _openapi("3.2.0")


@blueprint.get("/asyncapi.json")
async def asyncapi() -> Response:
    """Describe the stream and the channel in Redis."""
    return as_json(mounted(_contract().asyncapi, public(request.root_path, "") or "/"))


@blueprint.get("/docs")
async def docs() -> Response:
    """Show all of it as a page."""
    response = Response(_contract().page, content_type="text/html; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Content-Security-Policy"] = CSP.format(base_uri="'none'")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _openapi(version: Version) -> Response:
    server = {"url": public(request.root_path, "") or "/"}
    return as_json({**_contract().openapi[version], "servers": [server]})


def _contract() -> Contract:
    made: Contract = current_app.extensions["jobcast.contract"]
    return made
