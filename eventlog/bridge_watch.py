"""Whether a bridge appends the events of publish-only workers.

The leader of the bridges announces some seconds ahead when it begins to append, and renews the
announcement. From that moment until the announcement expires, the service appends none itself.
"""

import asyncio
from contextlib import suppress
from typing import Final

from eventlog.errors import LogUnavailable, Unreadable
from eventlog.redis_calls import available
from jobcast.protocol.names import BRIDGE_KEY
from jobcast.redis.caller import Caller

_PAUSE_S: Final = 0.5
"""Between two checks: a quarter of the time by which the moment is announced ahead."""

_LOOK: Final = """
local stored = redis.pcall('GET', KEYS[1])
local from = type(stored) == 'string' and tonumber(string.match(stored, '^%d+$') or '')
local left = redis.call('PTTL', KEYS[1])
if not from or from > 1e15 or left <= 0 then return { 0, 0 } end
local time = redis.call('TIME')
return { math.floor(from - time[1] * 1000 - time[2] / 1000), left }
"""


class BridgeWatch:
    """Checks for the announcement periodically."""

    def __init__(self, redis: Caller) -> None:
        self._redis = redis
        self._from = self._until = 0.0

    def is_bridged(self) -> bool:
        """Say whether events without an id are left to a bridge now."""
        if not self._until:
            return False
        return self._from <= asyncio.get_running_loop().time() < self._until

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            # During an outage the last announcement holds until it expires.
            with suppress(LogUnavailable, Unreadable):
                await self.check()
            await asyncio.sleep(_PAUSE_S)

    async def check(self) -> None:
        """Check once.

        Raises:
            LogUnavailable: Redis is unavailable.
            Unreadable: the announcement is no string.
        """
        async with available():
            left_ms: list[int] = await self._redis.call(BRIDGE_KEY, "EVAL", _LOOK, "1", BRIDGE_KEY)
        now = asyncio.get_running_loop().time()
        begins_in_ms, ends_in_ms = left_ms
        self._from, self._until = now + begins_in_ms / 1000, 0.0
        if ends_in_ms:
            self._until = now + ends_in_ms / 1000
