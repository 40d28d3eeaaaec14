"""Sentinels that are away: the next one is asked, in time."""

import pytest

from eventlog.errors import LogUnavailable
from eventlog.redis_calls import available, connect
from tests.support.sentinels import SentinelSet
from tests.support.waiting import eventually


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_the_primary_is_found_by_the_last_sentinel_that_is_left(
    sentinels: SentinelSet, how: str
) -> None:
    for sentinel in sentinels.sentinels[:-1]:
        getattr(sentinel, how)()

    async def is_found_in_time() -> bool:
        # Each time by one that has learnt nothing of who is away.
        caller = connect(sentinels.url)
        try:
            async with available():
                return bool(await caller.call("any", "SET", "any", "1"))
        except LogUnavailable:
            return False  # two who say nothing leave 0.6 s, which a busy machine may need
        finally:
            await caller.aclose()

    await eventually(is_found_in_time)
