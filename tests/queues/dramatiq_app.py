"""Actors of Dramatiq as their users write them: one line is Jobcast's."""

import os
import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import CurrentMessage
from redis import Redis

import jobcast.sync
from jobcast import JobCancelled
from jobcast.adapters.dramatiq import Jobcast

PATIENCE_S = 60.0
SHORT_LEASE_S = 1.0

url = os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0")
# What a lost worker had is delivered again soon.
broker = RedisBroker(url=url, heartbeat_timeout=1000, maintenance_chance=1_000_000)
broker.add_middleware(CurrentMessage())
broker.add_middleware(
    Jobcast(os.environ.get("JOBCAST_URL", url), lease_s=SHORT_LEASE_S, block_s=1, enqueue_s=1)
)
dramatiq.set_broker(broker)


@dramatiq.actor
def report(pages: int) -> dict[str, int]:
    """Report to Jobcast, and send another message."""
    run = jobcast.sync.current_run()
    assert run is not None
    for _ in run.track(range(pages), "Counting", unit="page"):
        run.log("one more")
    child.send_with_options(pipe_ignore=True)
    return {"pages": pages}


@dramatiq.actor
def child() -> None:
    """Do nothing."""


@dramatiq.actor(max_retries=0)
def fail() -> None:
    """Fail."""
    raise ValueError("no such page")


@dramatiq.actor(max_retries=3, min_backoff=10, max_backoff=20)
def fail_once() -> str:
    """Fail at the first attempt."""
    message = CurrentMessage.get_current_message()
    assert message is not None
    if "retries" not in message.options:
        raise OSError("no route")
    return "done"


@dramatiq.actor(max_retries=3, min_backoff=10)
def work_on() -> None:
    """Report until somebody stops it."""
    run = jobcast.sync.current_run()
    assert run is not None
    run.step("Working")
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        time.sleep(0.01)


def _say_nothing(key: str) -> None:
    """Say to the test that it has begun, then nothing until it is killed; not the next time."""
    with Redis.from_url(url) as redis:
        is_first = redis.set(key, os.getpid(), nx=True)
    if is_first and os.environ.get("MAY_WAIT"):
        time.sleep(PATIENCE_S)


say_nothing = dramatiq.actor(actor_name="say_nothing")(_say_nothing)
say_nothing_elsewhere = dramatiq.actor(
    actor_name="say_nothing_elsewhere", queue_name="elsewhere", max_retries=3, min_backoff=10
)(_say_nothing)


@dramatiq.actor(max_age=1)
def stay_fresh() -> None:
    """Do nothing, if it is not too late."""


@dramatiq.actor
def remember(message: dict[str, Any], _outcome: object) -> None:
    """Store that a message was called back for; Dramatiq passes it, with its options."""
    with Redis.from_url(url) as redis:
        redis.set(message["args"][0], message["options"].get("throws", "as sent"))


@dramatiq.actor(max_retries=0, on_failure="remember")
def fail_and_call_back(_key: str) -> None:
    """Fail."""
    raise ValueError("no such page")


@dramatiq.actor(max_retries=0, on_retry_exhausted="remember")
def fail_for_good(_key: str) -> None:
    """Fail."""
    raise ValueError("no such page")


@dramatiq.actor(on_success="remember")
def succeed_and_call_back(_key: str) -> None:
    """Do nothing."""


@dramatiq.actor(max_retries=3, min_backoff=10)
def work_on_in_a_group() -> None:
    """Report until somebody stops it, which reaches Dramatiq as a group of exceptions."""
    try:
        work_on()
    except JobCancelled as cancelled:
        raise ExceptionGroup("stopped", [cancelled]) from None
