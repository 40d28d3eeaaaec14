"""``/healthz``, ``/readyz`` and ``/metrics``: for operators."""

from quart import Blueprint, Response

from app.openapi import Operation
from app.requests import as_json, service
from schema.http import Health

blueprint = Blueprint("health", __name__)


_PLAIN = "text/plain"


@blueprint.get("/healthz")
@Operation("isAlive", {200: Health}, is_public=True)
async def healthz() -> Response:
    """Check that the process is alive."""
    return as_json(Health("alive"))


@blueprint.get("/readyz")
@Operation("isReady", {200: Health, 503: Health}, is_public=True)
async def readyz() -> Response:
    """Check whether the process is ready for requests.

    It is ready while Redis answers, the subscriber connection is up, tokens can be verified, and
    the process is not shutting down.
    """
    parts = service()
    ready = (
        not parts.viewers.leaving
        and parts.authenticator.ready
        and parts.subscriptions.connected
        and await parts.probe.answers()
    )
    return as_json(Health("ready" if ready else "not ready"), 200 if ready else 503)


@blueprint.get("/metrics")
@Operation("getMetrics", {200: _PLAIN}, is_public=True)
async def metrics() -> Response:
    """Return the metrics of the process."""
    return Response(service().metrics.text(), content_type=f"{_PLAIN}; version=0.0.4")
