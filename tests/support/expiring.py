"""Streams whose token expires soon, yet not before they are open, however slow the machine is."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from tests.support.service import token
from tests.support.sse import Stream, request

LIVES_S: Final = (3, 6, 12, 24, 48)
"""Lives of tokens to try, one after another: the first is enough, unless others use the machine."""


class Expiring(NamedTuple):
    """A stream, the headers of its request, and the Unix time at which its token expires."""

    stream: Stream
    headers: dict[str, str]
    expires: int


@asynccontextmanager
async def expiring(url: str, target: str, user: str = "user-1") -> AsyncIterator[Expiring]:
    """Open a stream that has more than half of its token's life ahead."""
    for life_s in LIVES_S:
        expires = int(time.time()) + life_s
        headers = {"Authorization": f"Bearer {token(user, exp=expires)}"}
        async with request(url, target, headers=headers) as stream:
            if expires - time.time() > life_s / 2:
                yield Expiring(stream, headers, expires)
                return
    raise TimeoutError(f"no stream of {target} within {LIVES_S[-1] / 2:g} s")
