"""Which errors of Redis pass by themselves, and how long to wait before a call is repeated."""

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
"""What a call raises while Redis can't be reached or can't take a write, where redis-py has a class
for it; see `refuses_writes`."""

_REFUSES_WRITES: Final = re.compile(
    r"(?:^|^Error running script .*: -)"
    r"(?:BUSY|CLUSTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) "
)


def refuses_writes(error: ResponseError) -> bool:
    """Say whether Redis can't take a write now, where redis-py has no class for it.

    Redis 6 wraps the refusal of a command in that of the script.
    """
    return _REFUSES_WRITES.search(str(error)) is not None


def will_pass(error: BaseException) -> bool:
    """Say whether Redis is only unavailable, so that the same call can succeed later.

    A wrong password or database does not pass by itself.
    """
    if isinstance(error, UNAVAILABLE):
        return Address.refusal_of(error) is None
    return isinstance(error, ResponseError) and refuses_writes(error)


def jittered(pause_s: float) -> float:
    """Return a pause that is up to a half shorter or longer."""
    return pause_s * chance.uniform(0.5, 1.5)


class Pauses:
    """The pauses between tries: exponential back-off with jitter, at most a second or so."""

    def __init__(self) -> None:
        self._pause_s = MIN_PAUSE_S

    def next(self) -> float:
        """Return how many seconds to wait before the next try."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return jittered(pause_s)
