"""Which runs hold a lease: an index of all of them, by when theirs is over.

Workers enter their runs and renew them; what a job's state says of its lease is what counts. The
clock is that of Redis throughout, so that no two machines have to agree on the time.
"""

from typing import Any, Final

from msgspec import Struct

from eventlog.connection import Client, available
from schema.wire import LEASES_KEY, leased_run

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function enter(member, delay_ms)
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + delay_ms), member)
end
"""
_TELL: Final = _NOW + "return now"
_CLAIM: Final = (
    _NOW
    + """
local due = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do enter(member, ARGV[3]) end
return due
"""
)
_POSTPONE: Final = _NOW + "enter(ARGV[1], ARGV[2])"


class LeasedRun(Struct, frozen=True):
    """A run in the index.

    Attributes:
        member: of the index.
        job_id: whose run it is.
        run: its token.
    """

    member: str
    job_id: str
    run: str


class Leases:
    """The index of leases."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def now_ms(self) -> int:
        """Return what time it is for Redis, as Unix time.

        Raises:
            LogUnavailable: Redis is away.
        """
        return int(await self._run(_TELL))

    async def claim(self, until_ms: int, limit: int, for_ms: int) -> list[LeasedRun]:
        """Return runs that were due by then, the longest overdue first.

        They are due again after some time, unless they are removed: meanwhile no other process is
        given them, and one that can't be dealt with does not stand in the way of the others.

        Args:
            until_ms: not later than now.
            limit: how many at the most.
            for_ms: when they are due again.

        Raises:
            LogUnavailable: Redis is away.
        """
        due: list[str] = await self._run(_CLAIM, until_ms, limit, for_ms)
        return [LeasedRun(member, *leased_run(member)) for member in due]

    async def postpone(self, run: LeasedRun, by_ms: int) -> None:
        """Note when a run is due that is still leased.

        Raises:
            LogUnavailable: Redis is away.
        """
        await self._run(_POSTPONE, run.member, by_ms)

    async def remove(self, run: LeasedRun) -> None:
        """Forget a run that is over.

        Raises:
            LogUnavailable: Redis is away.
        """
        async with available():
            await self._client.zrem(LEASES_KEY, run.member)

    async def _run(self, script: str, *arguments: str | int) -> Any:  # noqa: ANN401 - its answer
        async with available():
            return await self._client.execute_command("EVAL", script, 1, LEASES_KEY, *arguments)
