"""``/healthz``, ``/readyz`` and ``/metrics``: for those who run the service."""

from quart import Blueprint, Response

from app.requests import as_json, service

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
async def healthz() -> Response:
    """Say that the process lives."""
    return as_json({"status": "alive"})


@blueprint.get("/readyz")
async def readyz() -> Response:
    """Say whether requests should come here: Redis answers, and no drain has begun."""
    parts = service()
    ready = (
        not parts.viewers.draining and parts.subscriptions.connected and await parts.probe.answers()
    )
    return as_json({"status": "ready" if ready else "not ready"}, 200 if ready else 503)


@blueprint.get("/metrics")
async def metrics() -> Response:
    """Show what the process counts."""
    return Response(service().metrics.text(), content_type="text/plain; version=0.0.4")
