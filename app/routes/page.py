"""``/``: the page that starts a job and watches it."""

from pathlib import Path

from quart import Blueprint, Response, send_from_directory

blueprint = Blueprint("page", __name__)

_TEMPLATES = Path(__file__).parent.parent / "templates"
_CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


@blueprint.get("/")
async def page() -> Response:
    """Show the page."""
    response = await send_from_directory(_TEMPLATES, "index.html")
    response.headers["Content-Security-Policy"] = _CSP
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response
