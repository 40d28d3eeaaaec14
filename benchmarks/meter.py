"""What a span of time cost: the servers, Redis, the load generator, and everybody else."""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from benchmarks.case import LOAD, OTHERS
from benchmarks.processes import SERVER_CORE, Process, busy_s
from benchmarks.program import Program


class Meter:
    """Takes CPU and time from its making to ``stop``, in seconds.

    Args:
        servers: what is measured.
        redis: theirs.
        load: viewers and workers; with this process they are the load generator.
    """

    def __init__(self, servers: Sequence[Process], redis: Process, load: Sequence[Program]) -> None:
        self._servers = servers
        self._redis = redis
        self._load = load
        self.wall_s = self.server_s = self.redis_s = self.load_s = self.busy_s = 0.0
        self._take(-1)

    def stop(self) -> None:
        """Take the readings that the first ones are taken from."""
        self._take(1)

    def shares(self) -> Mapping[str, float]:
        """Return the shares of a core, in percent."""
        return {
            "core %": 100 * self.server_s / self.wall_s,
            LOAD: 100 * self.load_s / self.wall_s,
            "Redis %": 100 * self.redis_s / self.wall_s,
            OTHERS: 100 * max(0.0, self.busy_s - self.server_s) / self.wall_s,
        }

    def _take(self, sign: int) -> None:
        self.wall_s += sign * time.monotonic()
        self.server_s += sign * sum(server.cpu_s() for server in self._servers)
        self.busy_s += sign * busy_s(SERVER_CORE)
        self.redis_s += sign * self._redis.cpu_s()
        load_s = time.process_time() + sum(program.cpu_s() for program in self._load)
        self.load_s += sign * load_s


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector of this process out of the figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
