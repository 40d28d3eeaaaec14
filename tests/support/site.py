"""A third-party site with a single page."""

from typing import Any


class Site:
    """An ASGI application that responds to every request with the page."""

    def __init__(self) -> None:
        self.page = ""

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": self.page.encode()})
