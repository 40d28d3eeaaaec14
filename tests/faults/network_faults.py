"""The network between Redis, the services, the workers and the viewers fails."""

from abc import abstractmethod
from typing import ClassVar

from tests.faults.fault import Fault
from tests.support.proxy import Proxy


class _OfNetwork(Fault):
    @abstractmethod
    def network(self) -> Proxy:
        """Return what is struck."""

    async def heal(self) -> None:
        self.network().mend()


class _Cut(_OfNetwork):
    async def strike(self) -> None:
        self.network().cut(refuse=True)


class _Mute(_OfNetwork):
    seconds = 4.0

    async def strike(self) -> None:
        self.network().mute()


class _Late(_OfNetwork):
    seconds = 2.0

    async def strike(self) -> None:
        self.network().delay_s = 0.3


class _Slow(_OfNetwork):
    seconds = 2.0
    bytes_per_s: ClassVar[float]

    async def strike(self) -> None:
        self.network().bytes_per_s = self.bytes_per_s


class _HalfClosed(_OfNetwork):
    seconds = 0.0

    async def strike(self) -> None:
        self.network().half_close()


class _ToRedis(_OfNetwork):
    target = "way to redis"
    form = "plain"

    def network(self) -> Proxy:
        return self.world.to_redis


class _ToViewers(_OfNetwork):
    target = "way to viewers"

    def network(self) -> Proxy:
        return self.world.front


class RedisCutOff(_Cut, _ToRedis):
    name = "redis-cut-off"
    what = "The services' connections to Redis are reset, new ones refused"


class RedisMute(_Mute, _ToRedis):
    name = "redis-mute"
    what = "Nothing gets through between the services and Redis"


class RedisLate(_Late, _ToRedis):
    name = "redis-late"
    what = "Each piece between the services and Redis takes 0.3 s more"


class RedisSlow(_Slow, _ToRedis):
    name = "redis-slow"
    what = "Between the services and Redis there are 4 kB/s"
    bytes_per_s = 4000


class RedisHalfClosed(_HalfClosed, _ToRedis):
    name = "redis-half-closed"
    what = "Redis' side of the services' connections is closed, theirs is not"


class WorkersCutOff(_Cut):
    name = "workers-cut-off"
    what = "The workers' connections to Redis are reset, new ones refused"
    target = "worker"
    form = "plain"

    def network(self) -> Proxy:
        return self.world.workers_to_redis


class ViewersCutOff(_Cut, _ToViewers):
    name = "viewers-cut-off"
    what = "The viewers' connections are reset, new ones refused"


class ViewersMute(_Mute, _ToViewers):
    name = "viewers-mute"
    what = "Nothing gets through to the viewers"


class ViewersLate(_Late, _ToViewers):
    name = "viewers-late"
    what = "Each piece to the viewers takes 0.3 s more"


class ViewersSlow(_Slow, _ToViewers):
    name = "viewers-slow"
    what = "To each viewer there are 2 kB/s, less than the job needs"
    bytes_per_s = 2000


class ViewersHalfClosed(_HalfClosed, _ToViewers):
    name = "viewers-half-closed"
    what = "The viewers' connections are closed on the service's side alone"
