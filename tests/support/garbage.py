"""The service without garbage collection, and a path that reports the garbage it has left."""

import gc
from collections import Counter
from collections.abc import Callable
from types import CellType, CoroutineType, FrameType, FunctionType, MethodType
from typing import Any

import msgspec
from quart import Quart

import app

ADDRESS = "/garbage"
"""Path that returns the number of garbage objects since its last request, by kind."""


def create_app() -> Quart:
    """Return the application."""
    made = app.create_app()
    application: Any = made.asgi_app

    async def outer(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        if scope["type"] != "http" or scope["path"] != ADDRESS:
            await application(scope, receive, send)
            return
        gc.disable()
        body = msgspec.json.encode(_collected())
        headers = [(b"content-length", b"%d" % len(body)), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})

    made.asgi_app = outer  # type: ignore[method-assign]
    return made


def _collected() -> dict[str, int]:
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
    finally:
        gc.set_debug(0)
    kinds = Counter(map(_kind, gc.garbage))
    gc.garbage.clear()
    gc.collect()
    return dict(kinds)


def _content(cell: CellType) -> str:
    try:
        return type(cell.cell_contents).__qualname__
    except ValueError:
        return "nothing"


_MORE: dict[type, Callable[[Any], object]] = {
    MethodType: lambda method: method.__func__.__qualname__,
    FunctionType: lambda function: function.__qualname__,
    CoroutineType: lambda coroutine: coroutine.__qualname__,
    FrameType: lambda frame: frame.f_code.co_qualname,
    CellType: _content,
    dict: lambda some: list(some)[:3],
}


def _kind(thing: object) -> str:
    """Return the type of an object, and a detail that hints at its origin."""
    name = type(thing).__qualname__
    more = _MORE.get(type(thing))
    return name if more is None else f"{name} {more(thing)}"
