"""What is asked, read from an ASGI scope without a framework."""

from functools import cached_property
from urllib.parse import parse_qsl

from werkzeug.sansio.http import parse_cookie

from app.transport import Scope


class Headers:
    """The headers of a request, of which the first of a name counts."""

    __slots__ = ("_values",)

    def __init__(self, scope: Scope) -> None:
        self._values = {name.lower(): value for name, value in reversed(scope["headers"])}

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return a header by its name, in any case."""
        value = self._values.get(name.lower().encode())
        return default if value is None else value.decode("latin-1")


class RawRequest:
    """A request as far as it matters before its answer; see ``app.auth.Asked``."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.method: str = scope["method"]
        self.headers = Headers(scope)

    @property
    def host(self) -> str:
        """Return what the request was sent to."""
        return self.headers.get("Host") or ""

    @cached_property
    def args(self) -> dict[str, str]:
        """Return the query's parameters, of which the first of a name counts."""
        query = self._scope["query_string"].decode()
        if not query:
            return {}
        pairs = parse_qsl(query, keep_blank_values=True, errors="werkzeug.url_quote")
        return dict(reversed(pairs))

    @property
    def cookies(self) -> dict[str, str]:
        """Return the cookies."""
        given = [value for name, value in self._scope["headers"] if name.lower() == b"cookie"]
        cookies = parse_cookie(b";".join(given).decode("latin-1"))
        return {name: cookies[name] for name in cookies}
