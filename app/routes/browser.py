"""``/jobcast.js`` and ``/jobcast-element.js``: the browser client, for pages that have no npm.

Both are cached for a short time and lead to the modules themselves, whose addresses have a version
in them and may be cached for ever: so all modules of a page are of one version.
"""

from hashlib import sha256
from pathlib import Path
from typing import Final

from quart import Blueprint, Response, request
from werkzeug.exceptions import NotFound

blueprint = Blueprint("browser", __name__)

_SHORT: Final = "public, max-age=300"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NOT_AT_ALL: Final = "no-store"

_INDEX: Final = """\
import { defaults } from "./jobcast.js";
defaults.base = new URL("..", import.meta.url).href;
export * from "./jobcast.js";
"""
"""A module that tells the others where the service is: wherever they come from."""

_CORE: Final = ("state.js", "link.js", "jobcast.js")
"""What the others import. Named here, so that browsers load all of it at once."""

_FOLDER: Final = Path(__file__).parent.parent / "browser"
_MODULES: Final = {
    "index.js": _INDEX,
    **{path.name: path.read_text() for path in sorted(_FOLDER.glob("*.js"))},
}
_VERSION: Final = sha256(repr(_MODULES).encode()).hexdigest()[:12]


def _leading_to(*names: str) -> str:
    lines = [
        *(f'import "./jobcast@{_VERSION}/{name}";\n' for name in _CORE),
        *(f'export * from "./jobcast@{_VERSION}/{name}";\n' for name in names),
    ]
    return "".join(lines)


@blueprint.get("/jobcast.js")
async def jobcast() -> Response:
    """Lead to the client."""
    return await _script(_leading_to("index.js"), _SHORT)


@blueprint.get("/jobcast-element.js")
async def element() -> Response:
    """Lead to the client and the element that shows a job."""
    return await _script(_leading_to("index.js", "element.js"), _SHORT)


@blueprint.get("/jobcast@<version>/<name>")
async def module(version: str, name: str) -> Response:
    """Show a module of the client.

    While a new version is rolled out, a page that came from a process of one version may ask a
    process of another: what that has is better than nothing, and not to be kept.
    """
    text = _MODULES.get(name)
    if text is None:
        raise NotFound
    return await _script(text, _FOR_EVER if version == _VERSION else _NOT_AT_ALL)


async def _script(text: str, cached: str) -> Response:
    response = Response(text, content_type="text/javascript; charset=utf-8")
    response.headers["Cache-Control"] = cached
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.set_etag(sha256(text.encode()).hexdigest()[:32])
    return await response.make_conditional(request)
