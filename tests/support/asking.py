"""Requests in the form in which the service reads them, without a server."""

from collections.abc import Iterable
from urllib.parse import urlencode

from app.raw_request import RawRequest

Pairs = Iterable[tuple[str, str | bytes]]


def asks(
    headers: Pairs = (), query: Iterable[tuple[str, str]] | bytes = (), method: str = "GET"
) -> RawRequest:
    """Return a request.

    Args:
        headers: names and values; texts are encoded as UTF-8.
        query: names and values, or the encoded query.
        method: the HTTP method.
    """
    given = [(name.lower().encode(), _bytes(value)) for name, value in headers]
    return RawRequest(
        {
            "method": method,
            "headers": [(b"host", b"jobs.example"), *given],
            "query_string": query if isinstance(query, bytes) else urlencode(list(query)).encode(),
        }
    )


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
