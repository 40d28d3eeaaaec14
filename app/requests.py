"""What the routes share: who asks, typed bodies."""

from typing import TypeVar, cast

import msgspec
from quart import Response, current_app, request

from app.auth import Identity, body_session
from app.errors import BadRequest
from app.lifecycle import Service
from app.raw_request import RawRequest
from app.transport import Scope

T = TypeVar("T")


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
        ServiceUnavailable: that can't be told now.
    """
    session = body_session(await _body()) if with_body else None
    # As it is asked for streams, so that a request speaks for the same whatever it asks for.
    asked = RawRequest(cast("Scope", request.scope))
    return await service().authenticator.identify(asked, session)


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
