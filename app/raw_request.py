"""A request read from its ASGI scope, without a framework."""

from functools import cached_property
from typing import Final
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict
from werkzeug.sansio.http import parse_cookie

from app.asgi import Scope


def utf8_query(query: bytes) -> bytes:
    """Percent-encode the bytes of a query that are not UTF-8.

    Over HTTP/2 a query may contain any byte, and Quart raises an error if it is not UTF-8.
    """
    return query if query.isascii() else query.decode(errors="werkzeug.url_quote").encode()


class Headers:
    """The headers of a request, in order."""

    __slots__ = ("_headers", "_values")

    def __init__(self, scope: Scope) -> None:
        self._headers = scope["headers"]
        self._values = {name.lower(): value for name, value in reversed(self._headers)}

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first header of a name, case-insensitively."""
        value = self._values.get(name.lower().encode())
        return default if value is None else value.decode("latin-1")

    def getlist(self, name: str) -> list[str]:
        """Return all headers of a name."""
        wanted = name.lower().encode()
        if wanted not in self._values:
            return []
        return [
            value.decode("latin-1") for given, value in self._headers if given.lower() == wanted
        ]


class Parameters:
    """The parameters of a query, in order."""

    __slots__ = ("_pairs",)

    def __init__(self, query: bytes) -> None:
        text = query.decode()
        self._pairs = parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")

    def get(self, name: str) -> str | None:
        """Return the first value of a name."""
        for given, value in self._pairs:
            if given == name:
                return value
        return None

    def getlist(self, name: str) -> list[str]:
        """Return all values of a name."""
        return [value for given, value in self._pairs if given == name]


_NO_PARAMETERS: Final = Parameters(b"")


class RawRequest:
    """Method, headers, query and cookies of an ASGI scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.headers = Headers(scope)

    @property
    def host(self) -> str:
        """Return the ``Host`` header; empty without one."""
        return self.headers.get("Host") or ""

    @cached_property
    def args(self) -> Parameters:
        """Return the query's parameters."""
        query = self._scope["query_string"]
        return Parameters(query) if query else _NO_PARAMETERS

    @property
    def cookies(self) -> MultiDict[str, str]:
        """Return the cookies, with all values of each name."""
        return parse_cookie(";".join(self.headers.getlist("Cookie")))
