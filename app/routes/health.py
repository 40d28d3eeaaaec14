"""``/healthz``, ``/readyz``, ``/metrics`` and ``/openapi.json``: for those who run and call it."""

from quart import Blueprint, Response, request

from app.openapi import description
from app.prefix import public_path
from app.requests import as_json, service

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return as_json({"status": "alive"})


@blueprint.get("/readyz")
async def readyz() -> Response:
    """Say whether requests should come here.

    Redis answers, tokens can be judged, and the process is not to end.
    """
    parts = service()
    ready = (
        not parts.viewers.leaving
        and parts.authenticator.ready
        and parts.subscriptions.connected
        and await parts.probe.answers()
    )
    return as_json({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


@blueprint.get("/openapi.json")
async def openapi() -> Response:
    """Describe the HTTP interface."""
    return as_json(description(public_path(request.root_path, "") or "/"))


@blueprint.get("/metrics")
async def metrics() -> Response:
    """Show what the process counts."""
    return Response(service().metrics.text(), content_type="text/plain; version=0.0.4")
