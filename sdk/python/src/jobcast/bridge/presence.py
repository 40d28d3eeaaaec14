"""Announces to the services that a bridge appends the events of publish-only workers.

The announcement says from when on, a few seconds ahead, so that bridge and services switch at the
same moment. Before it the services deliver those events live; after it viewers get the publications
of the appends.
"""

from time import monotonic
from typing import Final

from jobcast._connection import Connection
from jobcast.protocol.names import BRIDGE_KEY

AHEAD_S: Final = 2.0
"""Seconds between the announcement and its moment: four times the interval of the services'
checks."""
_LEASES: Final = 2
"""How many leases the announcement lasts: until the next leader has taken over."""
_SAFE_SHARE: Final = 0.9

_ANNOUNCE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.pcall('GET', KEYS[1]) -- a key of another type is replaced
local from = type(stored) == 'string' and tonumber(string.match(stored, '^%d+$') or '')
if not from or from > 1e15 then from = now + ARGV[2] end
redis.call('SET', KEYS[1], string.format('%.0f', from), 'PX', ARGV[1])
return math.floor(from - now)
"""


class Presence:
    """The announcement of the bridge that leads, renewed with its lease."""

    def __init__(self, connection: Connection, lease_s: float) -> None:
        self._connection = connection
        self._length_s = lease_s * _LEASES
        self._from_s = self._until_s = 0.0

    @property
    def is_active(self) -> bool:
        """Whether the announced moment has come, and the announcement has not expired since."""
        return self._from_s <= monotonic() < self._until_s

    async def announce(self) -> None:
        """Announce the moment, or renew the announcement. Raises what redis-py raises."""
        asked_s = monotonic()
        length_ms, ahead_ms = round(self._length_s * 1000), round(AHEAD_S * 1000)
        left_ms: int = await self._connection.call(
            BRIDGE_KEY, "EVAL", _ANNOUNCE, "1", BRIDGE_KEY, str(length_ms), str(ahead_ms)
        )
        self._from_s = monotonic() + left_ms / 1000
        self._until_s = asked_s + self._length_s * _SAFE_SHARE
