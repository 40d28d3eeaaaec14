import threading

import pytest
from quart import Quart, Response

from app import errors
from app.errors import JobNotFound
from eventlog.errors import LogUnavailable, NotFailed, UnknownJob


@pytest.mark.parametrize(
    ("error", "status"),
    [(JobNotFound(), 404), (LogUnavailable(), 503), (UnknownJob(), 404), (NotFailed(), 400)],
)
async def test_an_error_is_answered_in_the_event_loop(error: Exception, status: int) -> None:
    app = Quart(__name__)
    errors.register(app)

    @app.get("/")
    async def fail() -> Response:
        raise error

    before = set(threading.enumerate())
    assert (await app.test_client().get("/")).status_code == status
    assert (await app.test_client().get("/elsewhere")).status_code == 404
    assert set(threading.enumerate()) <= before
