"""Retries by the library while Redis comes and goes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis import ConnectionError as RedisConnectionError
from redis.asyncio import Redis

import jobcast._connection
import jobcast.sync._connection
from tests.support.stored import listed_of, state_of

Connection = type[jobcast._connection.Connection | jobcast.sync._connection.Connection]


def lose_once(monkeypatch: pytest.MonkeyPatch, connection: Connection) -> None:
    """Have Redis be unavailable when a job is to be listed again, for one try."""
    reindex: Callable[..., Any] = connection.reindex
    lost: list[Any] = []

    def reindex_later(*arguments: Any) -> Any:  # noqa: ANN401 - of either form
        if not lost:
            lost.append(arguments)
            raise RedisConnectionError
        return reindex(*arguments)

    monkeypatch.setattr(connection, "reindex", reindex_later)


async def test_a_retry_is_announced_once_redis_is_back(
    jobs: jobcast.Jobs, redis_client: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_once(monkeypatch, jobcast._connection.Connection)
    lose_once(monkeypatch, jobcast.sync._connection.Connection)
    job_id = await jobs.create("report", user_id="u1")
    with jobcast.sync.connect(redis_url) as blocking:
        for retry in (jobs.retry, lambda job_id: asyncio.to_thread(blocking.retry, job_id)):
            await jobs.cancel(job_id)
            await redis_client.delete("jobs:by-user:u1")
            await retry(job_id)
            assert await listed_of(redis_client, "u1") == [job_id]
    assert (await state_of(redis_client, job_id))["attempt"] == "3"
