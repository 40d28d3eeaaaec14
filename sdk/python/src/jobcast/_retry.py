"""Which errors of Redis are transient, and how long to wait before a retry."""

import re
from typing import Final

from redis.exceptions import (
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobcast._chance import chance
from jobcast.redis.address import Address

MIN_PAUSE_S: Final = 0.05
MAX_PAUSE_S: Final = 1.0


UNAVAILABLE: Final = (
    *(RedisConnectionError, RedisTimeoutError),
    *(ClusterDownError, OutOfMemoryError, ReadOnlyError, TryAgainError),
)
"""Exceptions of a Redis that can't be reached or can't accept writes, where redis-py has a class
for them; see `refuses_writes`."""

_REFUSES_WRITES: Final = re.compile(
    r"(?:^|^Error running script .*: -)"
    r"(?:BUSY|CLUSTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) "
)


def refuses_writes(error: ResponseError) -> bool:
    """Return whether Redis can't accept writes now, for errors without a class in redis-py.

    Redis 6 wraps the error of a command in that of the script.
    """
    return _REFUSES_WRITES.search(str(error)) is not None


def will_pass(error: BaseException) -> bool:
    """Return whether an error is transient, so that the same call can succeed later.

    A wrong password or database is not transient.
    """
    if isinstance(error, UNAVAILABLE):
        return Address.refusal_of(error) is None
    return isinstance(error, ResponseError) and refuses_writes(error)


def jittered(pause_s: float) -> float:
    """Return a pause with jitter of ±50 %."""
    return pause_s * chance.uniform(0.5, 1.5)


class Pauses:
    """The pauses between tries: exponential back-off from 50 ms to 1 s, with jitter of ±50 %."""

    def __init__(self) -> None:
        self._pause_s = MIN_PAUSE_S

    def next(self) -> float:
        """Return the seconds to wait before the next try."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return jittered(pause_s)
