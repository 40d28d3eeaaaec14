"""What the routes share: who asks, typed bodies, an answer in time."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar, cast

import msgspec
from quart import Response, current_app, request

from app.auth import Identity, body_session
from app.errors import BadRequest, ServiceUnavailable
from app.lifecycle import Service

P = ParamSpec("P")
T = TypeVar("T")

ANSWER_S: Final = 1.8
"""How long an answer may take when Redis does not: callers are promised 2 s."""


def service() -> Service:
    """Return what the application was built from."""
    built: Service = current_app.extensions["jobcast"]
    return built


async def identify(*, with_body: bool = False) -> Identity:
    """Return who asks.

    Args:
        with_body: whether ``sessionId`` of the JSON body counts.

    Raises:
        Unauthorized: nobody that can be known.
    """
    session = body_session(await _body()) if with_body else None
    return await service().authenticator.identify(request, session)


async def body_as(kind: type[T]) -> T:
    """Return the JSON body.

    Raises:
        BadRequest: it is not JSON, or a field is wrong; the message names it.
    """
    try:
        return msgspec.json.decode(await _body(), type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None


async def _body() -> bytes:
    return cast("bytes", await request.get_data(as_text=False))


def as_json(body: object, status: int = 200) -> Response:
    """Return a struct as JSON."""
    data = msgspec.json.encode(body)
    response = Response(data, status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response


def in_time(handler: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Answer 503 when a handler takes longer than callers were promised."""

    @wraps(handler)
    async def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await handler(*args, **kwargs)
        except TimeoutError:
            raise ServiceUnavailable from None

    return bounded
