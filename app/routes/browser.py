"""``/jobcast.js``, ``/jobcast-element.js``, ``/jobcast-many.js``: the browser client without npm.

These entries are cached for 5 minutes. They import the actual modules by URLs that contain a
version and are cached forever, so all modules of a page have the same version.
"""

import re
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
export { defaults, initial, watchJob } from "./jobcast.js";
"""
"""Sets the service's URL to where this module was loaded from."""

_FOLDER: Final = Path(__file__).parent.parent / "browser"
_MODULES: Final = {
    "index.js": _INDEX,
    **{path.name: path.read_text() for path in sorted(_FOLDER.glob("*.js"))},
}
_VERSION: Final = sha256(repr(_MODULES).encode()).hexdigest()[:12]
_IMPORT: Final = re.compile(r'^(?:import|export) .*?"\./(.+?)";$', re.MULTILINE)


def _imported(*names: str) -> set[str]:
    """Return all modules that browsers load with these."""
    found = {each for name in names for each in _IMPORT.findall(_MODULES[name])}
    return found | _imported(*found) if found else found


def _entry(*names: str) -> str:
    """Return a module that exports others; it names all others, to be loaded in parallel."""
    lines = [
        *(f'import "./jobcast@{_VERSION}/{name}";\n' for name in sorted(_imported(*names))),
        *(f'export * from "./jobcast@{_VERSION}/{name}";\n' for name in names),
    ]
    return "".join(lines)


@blueprint.get("/jobcast.js")
async def jobcast() -> Response:
    """Export the client."""
    return await _script(_entry("index.js"), _SHORT)


@blueprint.get("/jobcast-element.js")
async def element() -> Response:
    """Export the client and the element that shows a job."""
    return await _script(_entry("index.js", "element.js"), _SHORT)


@blueprint.get("/jobcast-many.js")
async def many() -> Response:
    """Export the client and the one for many jobs."""
    return await _script(_entry("index.js", "many.js"), _SHORT)


@blueprint.get("/jobcast@<version>/<name>")
async def module(version: str, name: str) -> Response:
    """Return a module of the client.

    During a rolling update a page may request a version that this process does not have. It gets
    this process's version, uncached, because a 404 would break the page.
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
