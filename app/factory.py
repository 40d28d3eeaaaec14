"""The application factory."""

import sys
import traceback
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from quart import Quart
from quart.wrappers.base import BaseRequestWebsocket
from quart_cors import cors
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import MapAdapter

from app import errors
from app.contract import contract_of
from app.lifecycle import attach, build
from app.prefix import Prefix
from app.route_matcher import RouteMatcher
from app.routes import browser, contract, events, health, jobs, page, stream
from app.settings import InvalidSettings, Settings, settings_from
from app.streaming.head import EXPOSED, StreamHead
from app.streaming.middleware import StreamMiddleware

_MAX_BODY = 1024 * 1024 + 4096
_ALLOWED_HEADERS = (
    *("authorization", "content-type", "idempotency-key", "x-session-id"),
    *("cache-control", "last-event-id"),  # EventSource polyfills
    *("baggage", "sentry-trace", "traceparent", "tracestate"),  # tracing, which wraps fetch
)
"""Headers that pages of other origins may send, besides the CORS-safelisted ones."""


class _Application(Quart):
    def log_exception(self, exception_info: Any) -> None:  # noqa: ANN401 - as sys.exc_info
        """Log an error, except invalid settings, which the server prints."""
        if not isinstance(exception_info[1], InvalidSettings):
            super().log_exception(exception_info)

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Match routes whatever the ``Host``: Werkzeug raises on one that is no domain name."""
        if request is None:
            return None
        return self.url_map.bind(
            "",
            request.root_path,
            url_scheme=request.scheme,
            default_method=request.method,
            path_info=request.path,
            query_args=request.query_string.decode(),
        )


def create_app(settings: Settings | None = None) -> Quart:
    """Return the application.

    Args:
        settings: the settings; read from the environment if None.

    Raises:
        InvalidSettings: ``settings`` are invalid; the message names the variable.
        SystemExit: the environment is invalid: one line on stderr, exit code 2.
    """
    if settings is not None:
        return _app(settings)
    try:
        return _app(settings_from())
    except InvalidSettings as error:
        print(*traceback.format_exception_only(error), sep="", end="", file=sys.stderr, flush=True)  # noqa: T201 - servers would print a trace
        raise SystemExit(2) from None


def _app(settings: Settings) -> Quart:
    service = build(settings)
    app = _Application("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.url_map._matcher = RouteMatcher()  # noqa: SLF001 - Werkzeug has no other way
    app.extensions["jobcast"] = service
    for module in (jobs, events, stream, health, contract, page, browser):
        app.register_blueprint(module.blueprint)
    app.extensions["jobcast.contract"] = cache(partial(contract_of, app))
    errors.register(app)
    if settings.cors_origins:
        cors(
            app,
            allow_origin=list(settings.cors_origins),
            allow_credentials="*" not in settings.cors_origins,
            allow_headers=[*_ALLOWED_HEADERS, *settings.cors_headers],
            allow_methods=["GET", "HEAD", "POST", "OPTIONS"],
            expose_headers=EXPOSED,
            max_age=600,
        )
    attach(app, service)
    prefix = Prefix(_finder(app), trusts_forwarded=settings.trust_forwarded_prefix)
    middleware = StreamMiddleware(
        app.asgi_app, service.streams, service.viewers, StreamHead(settings.cors_origins), prefix
    )
    app.asgi_app = middleware  # type: ignore[method-assign, assignment]
    return app


def _finder(app: Quart) -> Callable[[str], bool]:
    """Return a predicate: whether an app has a route for a path, for any method."""
    addresses = app.url_map.bind("")

    def is_address(path: str) -> bool:
        try:
            addresses.match(path, "GET")
        except NotFound:
            return False
        except HTTPException:
            return True
        return True

    return is_address
