"""``/``: the page that starts a job and watches it."""

from html import escape
from pathlib import Path

from quart import Blueprint, Response, request, send_from_directory
from werkzeug.exceptions import NotFound

from app.prefix import public_path

blueprint = Blueprint("page", __name__)

_STATIC = Path(__file__).parent.parent / "static"
_FILES = frozenset(
    path.relative_to(_STATIC).as_posix() for path in _STATIC.rglob("*") if path.is_file()
)
_TEMPLATES = Path(__file__).parent.parent / "templates"
CSP = "default-src 'self'; base-uri {base_uri}; form-action 'self'; frame-ancestors 'none'"


@blueprint.get("/")
async def page() -> Response:
    """Show the page."""
    base_uri = "'none'"
    response = await send_from_directory(_TEMPLATES, "index.html")
    if request.root_path:
        # Its URLs are relative, and the request may be for /prefix without a trailing slash.
        base = f'<base href="{escape(public_path(request.root_path, "/"))}">'
        text = (await response.get_data(as_text=True)).replace("<head>", f"<head>\n{base}", 1)
        response = Response(text, content_type="text/html; charset=utf-8")
        base_uri = "'self'"
    response.headers["Content-Security-Policy"] = CSP.format(base_uri=base_uri)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get("/static/<path:name>")
async def file(name: str) -> Response:
    """Return a file of the page. Others are not looked for: a long name would be an OSError."""
    if name not in _FILES:
        raise NotFound
    return await send_from_directory(_STATIC, name)


@blueprint.after_request
async def fresh(response: Response) -> Response:
    """Make browsers revalidate files, and not guess their types."""
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
