"""What the routes share: who asks, typed bodies."""

import json
from typing import Final, TypeVar, cast

import msgspec
from quart import Response, current_app, request

from app.asgi import Scope
from app.auth import Identity, body_session, session_id
from app.errors import BadRequest, Unauthorized
from app.lifecycle import Service
from app.raw_request import RawRequest
from schema.salvage import salvage_object

T = TypeVar("T")
_MOST_SHOWN: Final = 80


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
    body = await _body() if with_body else b""
    # As it is asked for streams, so that a request speaks for the same whatever it asks for.
    asked = RawRequest(cast("Scope", request.scope))
    try:
        return await service().authenticator.identify(asked, body_session(body))
    except Unauthorized:
        if _has_unreadable_session(body):
            raise BadRequest(_fault_of(body, "")) from None
        raise


async def body_as(kind: type[T], *, nested: str = "The body") -> T:
    """Return the JSON body.

    Args:
        kind: what it has to be.
        nested: its field that may hold anything.

    Raises:
        BadRequest: it is not JSON, or a field is wrong; the message names it.
    """
    body = await _body()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(_fault_of(body, str(error))) from None
    except RecursionError:
        raise BadRequest(f"{nested}: nested too deeply") from None


def _fault_of(body: bytes, why: str) -> str:
    """Return what is wrong with a body: with which field, if it is JSON but for that one's value.

    Args:
        body: what a strict reader refuses.
        why: its reason.
    """
    try:
        fields = json.loads(body.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        fields = None
    for name, value in fields.items() if isinstance(fields, dict) else ():
        try:
            json.dumps([name, value], ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            shown = name[:_MOST_SHOWN].encode(errors="backslashreplace").decode()
            return f"{shown}: is not JSON: it holds a lone surrogate, or bytes that are no UTF-8"
        except ValueError:
            return f"{name[:_MOST_SHOWN]}: is not JSON: it holds NaN or an infinity"
    return f"The body is not JSON: {why}"


def _has_unreadable_session(body: bytes) -> bool:
    """Say whether a body names a session, but only to a reader that is not strict."""
    try:
        fields = salvage_object(body.decode(errors="replace"))
    except ValueError:
        return False
    return session_id(fields.get("sessionId")) is not None


async def _body() -> bytes:
    return cast("bytes", await request.get_data(as_text=False))


def as_json(body: object, status: int = 200) -> Response:
    """Return a struct as JSON."""
    data = msgspec.json.encode(body)
    response = Response(data, status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
