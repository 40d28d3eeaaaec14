"""The prefix below which the service is mounted: ``/jobcast`` of ``/jobcast/api/v1/jobs``.

Servers are told of it (``--root-path``), frameworks that mount applications know it, and a proxy
that strips it can name it in ``X-Forwarded-Prefix``. What arrives depends on who strips what:

========================================  ===========================  ============
who                                       path                         root_path
========================================  ===========================  ============
Hypercorn, behind a proxy that strips     ``/api/v1/jobs``             ``/jobcast``
Hypercorn, behind one that does not       ``/jobcast/api/v1/jobs``     ``/jobcast``
Uvicorn, which adds the prefix itself     ``/jobcast/api/v1/jobs``     ``/jobcast``
the same, behind one that does not strip  ``/jobcast/jobcast/api/v1…`` ``/jobcast``
``/b`` mounted below, ``/a`` stripped     ``/b/api/v1/jobs``           ``/a/b``
========================================  ===========================  ============

So of what the path can mean, the first that is an address of the service counts.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote, unquote

from app.asgi import Scope

_HEADER: Final = b"x-forwarded-prefix"
_FORWARDED: Final = re.compile(r"(?:/[A-Za-z0-9_~.!$'()*+,;:@&=-]+)+/?", re.ASCII)
_MAX_LENGTH: Final = 256
_DOTS: Final = frozenset({".", ".."})


def root_of(text: str) -> str:
    """Return a prefix as it stands before a path: nothing, or with one slash and none at its end.

    A path that began with two slashes would lead to another host.
    """
    return "".join(f"/{segment}" for segment in text.split("/") if segment)


def public(root: str, path: str) -> str:
    """Return the address of a path below a prefix, as it is sent to others."""
    return quote(root_of(root), safe="/~!$'()*+,;:@&=") + path


class Prefix:
    """Finds what is asked for below the prefix.

    Args:
        is_address: whether the service has an address, whatever the method.
        trusts_forwarded: believe ``X-Forwarded-Prefix``, which clients can send as well.
    """

    def __init__(self, is_address: Callable[[str], bool], *, trusts_forwarded: bool) -> None:
        self._is_address = is_address
        self._trusts_forwarded = trusts_forwarded

    def settle(self, scope: Scope) -> None:
        """Have the path of a scope begin with its ``root_path``, whoever stripped what."""
        given = scope.get("root_path", "")
        forwarded = _forwarded(scope) if self._trusts_forwarded else None
        if not given and forwarded is None:
            return
        root = root_of(unquote(given))
        path = self._below(scope["path"], root)
        if forwarded is not None:
            path, root = self._below(path, forwarded), forwarded
        scope["root_path"], scope["path"] = root, root + path

    def _below(self, path: str, root: str) -> str:
        for meaning in _meanings(f"/{path.lstrip('/')}", root):
            if self._is_address(meaning):
                return meaning
        return path


def _meanings(path: str, root: str) -> Iterator[str]:
    """Yield what a path can mean, likely ones first."""
    stripped = list(_stripped(path, root))
    yield from stripped
    for each in stripped:
        yield from _stripped(each, root)
    yield path


def _stripped(path: str, root: str) -> Iterator[str]:
    """Yield a path without a prefix, or without as much of its end as the path begins with."""
    segments = root.split("/")[1:]
    for start in range(len(segments)):
        part = "".join(f"/{segment}" for segment in segments[start:])
        if path == part or path.startswith(f"{part}/"):
            yield f"/{path[len(part) :].lstrip('/')}"


def _forwarded(scope: Any) -> str | None:  # noqa: ANN401 - of any ASGI server
    """Return the prefix that a proxy names; None of anything else than one plain path."""
    values = [value for name, value in scope["headers"] if name.lower() == _HEADER]
    if len(values) != 1 or len(values[0]) > _MAX_LENGTH:
        return None
    text = values[0].decode("latin-1").strip()
    if _FORWARDED.fullmatch(text) is None or _DOTS & set(text.split("/")):
        return None
    return root_of(text)
