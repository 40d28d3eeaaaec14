"""Calls to Redis by the service: bounded in time, with one error for every outage."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from eventlog.errors import LogUnavailable, Unreadable
from jobcast.protocol.refusals import is_data_error
from jobcast.redis.address import parse_address
from jobcast.redis.caller import Caller
from jobcast.redis.connection import FAILURES, REFUSED

COMMAND_TIMEOUT_S: Final = 1.4
"""Timeout of a command: callers of the service are promised an answer within 2 s."""


def connect(url: str) -> Caller:
    """Return a caller of Redis, which connects at first use.

    Args:
        url: see ``jobcast.redis.address``.

    Raises:
        ValueError: the URL is invalid.
    """
    return Caller(parse_address(url), COMMAND_TIMEOUT_S)


@asynccontextmanager
async def available() -> AsyncIterator[None]:
    """Bound calls to Redis in time, and translate their errors.

    Raises:
        Unreadable: a key has the wrong type.
        LogUnavailable: Redis did not answer in time, is unavailable, or refuses the command.
    """
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            yield
    except FAILURES as error:
        if is_data_error(str(error)):
            raise Unreadable(f"{Unreadable.text} ({error})") from error
        if isinstance(error, REFUSED):
            raise LogUnavailable(f"Redis refuses it: {error}") from error
        cause = ": ".join(filter(None, (type(error).__name__, str(error))))
        raise LogUnavailable(f"{LogUnavailable.text} ({cause})") from error
