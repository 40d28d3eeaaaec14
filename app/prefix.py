"""The prefix below which the service is mounted: ``/jobcast`` of ``/jobcast/api/v1/jobs``.

Servers take it as an option (``--root-path``), frameworks set it for mounted applications, and a
proxy that strips it may send it as ``X-Forwarded-Prefix``. The ASGI scopes differ:

========================================  ===========================  ============
who                                       path                         root_path
========================================  ===========================  ============
Hypercorn, behind a proxy that strips     ``/api/v1/jobs``             ``/jobcast``
Hypercorn, behind one that does not       ``/jobcast/api/v1/jobs``     ``/jobcast``
Uvicorn, which adds the prefix itself     ``/jobcast/api/v1/jobs``     ``/jobcast``
the same, behind one that does not strip  ``/jobcast/jobcast/api/v1…`` ``/jobcast``
mounted at ``/b``, proxy strips ``/a``    ``/b/api/v1/jobs``           ``/a/b``
========================================  ===========================  ============

So each interpretation of the path is tried, and the first one that has a route is used.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, unquote

from app.asgi import Scope

_HEADER: Final = b"x-forwarded-prefix"
_FORWARDED: Final = re.compile(r"(?:/[A-Za-z0-9_~.!$'()*+,;:@&=-]+){1,16}/?", re.ASCII)
"""Of few segments, as the interpretations of a path grow with their square."""

_MAX_LENGTH: Final = 256
_DOTS: Final = frozenset({".", ".."})


def normalize_root(text: str) -> str:
    """Return a prefix with exactly one leading slash and no trailing one; empty stays empty.

    Browsers resolve a path with two leading slashes as another host.
    """
    return "".join(f"/{segment}" for segment in text.split("/") if segment)


def public_path(root: str, path: str) -> str:
    """Return the URL of a path below a prefix; only the prefix is percent-encoded."""
    return quote(normalize_root(root), safe="/~!$'()*+,;:@&=") + path


class Prefix:
    """Normalizes the path and prefix of ASGI scopes.

    Args:
        is_address: whether the service has a route for a path, for any method.
        trusts_forwarded: whether to use ``X-Forwarded-Prefix``, which clients can forge unless a
            proxy sets it.
    """

    def __init__(self, is_address: Callable[[str], bool], *, trusts_forwarded: bool) -> None:
        self._is_address = is_address
        self.trusts_forwarded = trusts_forwarded

    def normalize(self, scope: Scope) -> None:
        """Make the path of a scope begin with its ``root_path``."""
        given = scope.get("root_path", "")
        forwarded = _forwarded_prefix(scope) if self.trusts_forwarded else None
        if not given and forwarded is None:
            return
        root = normalize_root(unquote(given))
        path = self._below(scope["path"], root)
        if forwarded is not None:
            path, root = self._below(path, forwarded), forwarded
        scope["root_path"], scope["path"] = root, root + path

    def _below(self, path: str, root: str) -> str:
        for candidate in _candidates(f"/{path.lstrip('/')}", root):
            if self._is_address(candidate):
                return candidate
        return path


def _candidates(path: str, root: str) -> Iterator[str]:
    """Yield interpretations of a path, the likely ones first."""
    stripped = list(_stripped(path, root))
    yield from stripped
    for each in stripped:
        yield from _stripped(each, root)
    yield path


def _stripped(path: str, root: str) -> Iterator[str]:
    """Yield a path without the prefix, and without each trailing part of the prefix."""
    segments = root.split("/")[1:]
    for start in range(len(segments)):
        part = "".join(f"/{segment}" for segment in segments[start:])
        if path == part or path.startswith(f"{part}/"):
            yield f"/{path[len(part) :].lstrip('/')}"


def _forwarded_prefix(scope: Any) -> str | None:  # noqa: ANN401 - of any ASGI server
    """Return ``X-Forwarded-Prefix``; None unless the header occurs once and is a plain path."""
    values = [value for name, value in scope["headers"] if name.lower() == _HEADER]
    if len(values) != 1 or len(values[0]) > _MAX_LENGTH:
        return None
    text = values[0].decode("latin-1").strip()
    if _FORWARDED.fullmatch(text) is None or _DOTS & set(text.split("/")):
        return None
    return normalize_root(text)
