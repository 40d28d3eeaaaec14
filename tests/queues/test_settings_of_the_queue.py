"""Addresses of queues that can't be meant end the start of the service."""

import pytest

from app.queues.kinds import queue_of
from app.settings import InvalidSettings, Settings
from jobcast.redis.address import parse_address
from jobcast.redis.caller import Caller


@pytest.mark.parametrize(
    ("kind", "url", "why"),
    [
        ("rq", "http://h", "JOBCAST_QUEUE_URL: "),
        ("rq", "redis://h/0?socket_timeuot=1", "JOBCAST_QUEUE_URL: .*socket_timeuot"),
        ("rq", "redis://h/main", "JOBCAST_QUEUE_URL: the database that follows"),
        ("rq", "redis+sentinel://h:1/main", "JOBCAST_QUEUE_URL: RQ does not follow"),
        ("celery", "redis://h:port", "JOBCAST_QUEUE_URL: no URL of a broker"),
        ("celery", "foo://h", "JOBCAST_QUEUE_URL: Celery has no such broker"),
        ("celery", "broker.example", "JOBCAST_QUEUE_URL: no URL of a broker"),
        ("celery", "redis+cluster://h:1", "JOBCAST_QUEUE_URL: Celery does not follow it"),
    ],
)
def test_an_address_of_no_queue_is_refused_at_the_start(kind: str, url: str, why: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^{why}"):
        build(queue_kind=kind, queue_url=url)


def test_the_sentinels_of_jobcast_are_no_broker_of_celery() -> None:
    why = "^REDIS_URL: Celery does not follow it .*; name that of celery by JOBCAST_QUEUE_URL$"
    with pytest.raises(InvalidSettings, match=why):
        build(queue_kind="celery", redis_url="redis+sentinel://h:1/main")


def build(**settings: str) -> None:
    """Build the queue of a service with these settings; nothing is connected to."""
    given: dict[str, object] = {"queue_tasks": ("report=tasks.report",), **settings}
    built = Settings(**given)  # type: ignore[arg-type]
    queue_of(built, Caller(parse_address(built.redis_url)))
