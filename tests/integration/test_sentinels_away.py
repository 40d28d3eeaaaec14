"""Sentinels that are away: the next one is asked, in time."""

import pytest

from eventlog.connection import available, connect
from tests.sentinels import SentinelSet


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_the_primary_is_found_by_the_last_sentinel_that_is_left(
    sentinels: SentinelSet, how: str
) -> None:
    for sentinel in sentinels.sentinels[:-1]:
        getattr(sentinel, how)()
    client = connect(sentinels.url)
    try:
        async with available():
            assert await client.ping()
    finally:
        await client.aclose()
