"""A job fails with what its function raised, whatever that is, and its worker goes on."""

import logging

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import jobcast
from tests.support.odd_errors import ODD, OddDict, Unprintable
from tests.support.stored import ending_of
from tests.support.worker_process import enqueue
from tests.support.working import until_idle, working
from worker.failure import Failure
from worker.registry import Registry


class UnprintableAway(RedisConnectionError):
    def __str__(self) -> str:
        raise ValueError


async def ended(
    redis_url: str, redis: Redis, raised: BaseException | None, returned: object = None
) -> tuple[str | None, ...]:
    """Return how a job ends whose function does this; the next job of the worker succeeds."""
    registry = Registry()

    @registry.job("report")
    async def report(_: jobcast.Run) -> object:
        if raised is not None:
            raise raised
        return returned

    @registry.job("other")
    async def other(_: jobcast.Run) -> object:
        return None

    async with (
        jobcast.connect(redis_url) as jobs,
        working(redis_url, registry, concurrency=1),
    ):
        await jobs.create("report", user_id="u1", job_id="j1")
        await jobs.create("other", user_id="u1", job_id="j2")
        await enqueue(redis, "j1")
        await enqueue(redis, "j2")
        await until_idle(redis)
    assert await ending_of(redis, "j2") == ("succeeded", None, None, None)
    return await ending_of(redis, "j1")


@pytest.mark.parametrize("name", ODD)
async def test_an_exception_of_any_class_fails_the_job_with_what_it_says(
    redis_url: str, redis_client: Redis, name: str
) -> None:
    error, message, code = ODD[name]
    assert await ended(redis_url, redis_client, error) == ("failed", None, message, code)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
async def test_a_function_that_interrupts_itself_ends_its_job_only(
    redis_url: str, redis_client: Redis, kind: type[BaseException]
) -> None:
    status, _, error, code = await ended(redis_url, redis_client, kind("gone"))
    assert (status, code) == ("failed", None)
    assert error
    assert error.startswith("The ")


async def test_a_failure_with_a_text_that_json_cannot_carry_keeps_its_code(
    redis_url: str, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    # The log has the text as it is, which pytest-xdist can't carry any more than JSON can.
    caplog.set_level(logging.CRITICAL, "jobcast.worker")
    failure = Failure("no \ud83d here", "E_PAPER")
    expected = ("failed", None, "no ? here", "E_PAPER")
    assert await ended(redis_url, redis_client, failure) == expected


@pytest.mark.parametrize("failure", [AttributeError("gone"), SystemExit("gone")], ids=repr)
async def test_a_result_that_raises_when_it_is_written_fails_the_job(
    redis_url: str, redis_client: Redis, failure: BaseException
) -> None:
    status, result, error, _ = await ended(redis_url, redis_client, None, OddDict(failure))
    assert (status, result) == ("failed", None)
    assert error


async def test_a_connection_error_that_has_no_text_is_tried_again_and_fails_at_last(
    redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.runner.MAX_DELIVERIES", 2)
    monkeypatch.setattr("worker.queue.RETRY_S", 0.01)
    expected = ("failed", None, "UnprintableAway", None)
    assert await ended(redis_url, redis_client, UnprintableAway()) == expected


async def test_what_can_t_be_printed_is_in_the_log_by_its_class(
    redis_url: str, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await ended(redis_url, redis_client, Unprintable(SystemExit("no text")))
    assert "Unprintable" in caplog.text
    assert "job j1: failed" in caplog.text
