"""How often a lease is renewed: hours go by at once, Redis only notes what it is asked."""

import asyncio
from typing import cast
from weakref import WeakMethod

import pytest

from jobcast._connection import Connection
from jobcast._lease import Leases
from tests.support.clock import in_virtual_time


class Redis:
    """Redis as a lease sees it; ``renewed_s`` are the times of the renewals since the start."""

    def __init__(self) -> None:
        self._begun_s = asyncio.get_running_loop().time()
        self.renewed_s: list[float] = []

    async def call(self, *_command: str) -> int:
        return 0

    async def renew(self, _length_ms: int) -> None:
        self.renewed_s.append(round(asyncio.get_running_loop().time() - self._begun_s, 3))


@pytest.mark.parametrize(
    ("length_s", "every_s"), [(0.6, 0.2), (30, 10), (60, 10), (86_400, 10)], ids=str
)
def test_a_lease_is_renewed_within_a_third_of_it_and_ten_seconds_at_the_most(
    length_s: float, every_s: float
) -> None:
    async def renew() -> None:
        redis = Redis()
        leases = Leases(cast("Connection", redis), length_s)
        lease = leases.of_run("j1", "r")
        assert lease is not None
        lease.keep(WeakMethod(redis.renew))
        await asyncio.sleep(5.5 * every_s)
        leases.close()
        await asyncio.sleep(10 * length_s)
        assert redis.renewed_s == [round(n * every_s, 3) for n in range(1, 6)]

    in_virtual_time(renew())
