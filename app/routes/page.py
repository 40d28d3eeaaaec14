"""``/``: the page that starts a job and watches it."""

from pathlib import Path

from quart import Blueprint, Response, send_from_directory

blueprint = Blueprint("page", __name__, static_folder="../static", static_url_path="/static")

_TEMPLATES = Path(__file__).parent.parent / "templates"
_CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


@blueprint.get("/")
async def page() -> Response:
    """Show the page."""
    response = await send_from_directory(_TEMPLATES, "index.html")
    response.headers["Content-Security-Policy"] = _CSP
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.after_request
async def fresh(response: Response) -> Response:
    """Have browsers ask whether a file is still the same, and believe its type."""
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
