"""Leader election: a lease in Redis, and a number that rises with each leader."""

import secrets
from time import monotonic
from typing import Final

from redis.exceptions import ResponseError

from jobcast._connection import Connection
from jobcast.protocol.refusals import is_data_error

RENEWALS: Final = 5
"""Number of renewals within the length of a lease."""
_SAFE_SHARE: Final = 0.8
"""Share of its lease for which a leader relies on it, because clocks run at different speeds."""

_TAKE: Final = """
local function get(key) -- a key of another type is replaced
  local stored = redis.pcall('GET', key)
  return type(stored) == 'string' and stored
end
local leader = get(KEYS[1])
if leader and leader ~= ARGV[1] and redis.call('PTTL', KEYS[1]) ~= -1 then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local fence = tonumber(get(KEYS[2]) or '')
if not (fence and fence >= 1 and fence < 2^52 and fence % 1 == 0) then
  -- Lost, or not by this script: the time is above every number that was counted before.
  local time = redis.call('TIME')
  fence = time[1] * 1000 + math.floor(time[2] / 1000)
elseif leader == ARGV[1] then
  return fence
end
redis.call('SET', KEYS[2], string.format('%.0f', fence + 1))
return fence + 1
"""

_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""

_KEEP: Final = """
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '')
if fence and fence > tonumber(ARGV[1]) and fence < 2^52 then return 0 end
redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'at', ARGV[2])
return 1
"""


class Deposed(Exception):
    """This bridge no longer leads."""


class Leadership:
    """The leadership among the bridges of one name.

    ``fence`` is the number of this leader, higher than that of every earlier one. It is stored with
    the positions in sources, so that a leader that was suspended can't set them back.
    """

    def __init__(self, connection: Connection, name: str, lease_s: float) -> None:
        self._connection = connection
        self._prefix = f"jobs:{{bridge:{name}}}"
        self._token = secrets.token_hex(8)
        self._lease_s = lease_s
        self._until_s = 0.0
        self.fence = 0

    @property
    def leads(self) -> bool:
        """Whether this bridge leads, for certain."""
        return self.fence > 0 and monotonic() < self._until_s

    @property
    def pause_s(self) -> float:
        """Seconds to wait before taking or renewing the lease again."""
        return self._lease_s / RENEWALS

    def check(self) -> None:
        """Raise `Deposed` unless this bridge leads."""
        if not self.leads:
            raise Deposed

    async def take(self) -> bool:
        """Take or renew the lease, and return whether this bridge leads.

        Raises a ``RedisError`` if Redis is unavailable.
        """
        began_s = monotonic()
        keys = f"{self._prefix}:leader", f"{self._prefix}:fence"
        length_ms = str(round(self._lease_s * 1000))
        fence: int = await self._connection.call(
            keys[0], "EVAL", _TAKE, "2", *keys, self._token, length_ms
        )
        self.fence = fence
        self._until_s = began_s + self._lease_s * _SAFE_SHARE
        return self.leads

    async def release(self) -> None:
        """Release the lease, so that another bridge takes over at once."""
        if self.fence:
            self.fence = 0
            key = f"{self._prefix}:leader"
            await self._connection.call(key, "EVAL", _RELEASE, "1", key, self._token)

    async def position(self, source: str) -> str | None:
        """Return the position that is stored for a source, any text; None if there is none."""
        key = self._position_key(source)
        position: bytes | None
        try:
            position = await self._connection.call(key, "HGET", key, "at")
        except ResponseError as error:
            if not is_data_error(str(error)):
                raise
            return None
        return None if position is None else position.decode(errors="replace")

    async def keep_position(self, source: str, position: str) -> None:
        """Store this leader's position in a source.

        Raises `Deposed` if this bridge does not lead, or a later leader has stored a position.
        """
        self.check()
        key = self._position_key(source)
        kept = await self._connection.call(key, "EVAL", _KEEP, "1", key, str(self.fence), position)
        if not kept:
            self.fence = 0
            raise Deposed

    def _position_key(self, source: str) -> str:
        return f"{self._prefix}:position:{source}"
