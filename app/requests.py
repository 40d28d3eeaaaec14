"""Helpers of the routes: identity, typed bodies, responses."""

import json
from typing import Final, TypeVar, cast

import msgspec
from quart import Response, current_app, request

from app.asgi import Scope
from app.auth import Claims, Grant, Identity, body_session, session_id
from app.errors import BadRequest, Forbidden, Unauthorized, WorkerTokenRequired
from app.lifecycle import Service
from app.raw_request import RawRequest
from schema.salvage import salvage_object

T = TypeVar("T")
_MAX_SHOWN: Final = 80


def service() -> Service:
    """Return the components of the application."""
    return cast("Service", current_app.extensions["jobcast"])


async def identify(*, with_body: bool = False) -> Identity:
    """Return the identity of the request.

    Args:
        with_body: whether to use the ``sessionId`` of the JSON body.

    Raises:
        BadRequest: the body's session id is unreadable.
        Unauthorized: there is no valid token and no session.
        ServiceUnavailable: the key set is unavailable.
    """
    body = await _body() if with_body else b""
    # Parsed as for streams, so that a request has the same identity everywhere.
    raw = RawRequest(cast("Scope", request.scope))
    try:
        return await service().authenticator.identify(raw, body_session(body))
    except Unauthorized:
        if _has_unreadable_session(body):
            raise BadRequest(_error_of(body, "")) from None
        raise


async def worker_grant() -> Grant | None:
    """Return the grant of the request's worker token; None if it has no such token.

    Raises:
        ServiceUnavailable: the key set is unavailable.
    """
    claims = await _bearer()
    return None if claims is None else claims.grant


async def grant() -> Grant:
    """Return the grant of the request's worker token.

    Raises:
        WorkerTokenRequired: there is no valid token.
        Forbidden: the token is a user's.
        ServiceUnavailable: the key set is unavailable.
    """
    claims = await _bearer()
    if claims is None:
        raise WorkerTokenRequired
    if claims.grant is None:
        raise Forbidden
    return claims.grant


async def _bearer() -> Claims | None:
    return await service().authenticator.bearer(RawRequest(cast("Scope", request.scope)))


async def body_as(kind: type[T], *, nested: str = "The body") -> T:
    """Decode the JSON body.

    Args:
        kind: type to decode.
        nested: the field that may hold any JSON, which the message names if it is nested too
            deeply.

    Raises:
        BadRequest: it is not JSON, or a field is invalid; the message names it.
    """
    body = await _body()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise BadRequest(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(_error_of(body, str(error))) from None
    except RecursionError:
        raise BadRequest(f"{nested}: nested too deeply") from None


def _error_of(body: bytes, why: str) -> str:
    """Return why a body is not JSON, naming the field if only its value is invalid.

    Args:
        body: malformed JSON.
        why: the decoder's message.
    """
    try:
        fields = json.loads(body.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        fields = None
    for name, value in fields.items() if isinstance(fields, dict) else ():
        try:
            json.dumps([name, value], ensure_ascii=False, allow_nan=False).encode()
        except UnicodeEncodeError:
            shown = name[:_MAX_SHOWN].encode(errors="backslashreplace").decode()
            return f"{shown}: is not JSON: it holds a lone surrogate, or bytes that are no UTF-8"
        except ValueError:
            return f"{name[:_MAX_SHOWN]}: is not JSON: it holds NaN or an infinity"
    return f"The body is not JSON: {why}"


def _has_unreadable_session(body: bytes) -> bool:
    """Return whether only a lenient parser finds a session id in a body."""
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
