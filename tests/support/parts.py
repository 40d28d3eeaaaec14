"""The service's own parts, within the test's process and without HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from app.lifecycle import Service, build
from app.settings import Settings
from eventlog.connection import connect
from tests.support.service import SECRET


@asynccontextmanager
async def parts(url: str) -> AsyncIterator[Service]:
    """Build the parts of a service and close their connections."""
    built = build(Settings(redis_url=url, jwt_secret=SECRET))
    try:
        yield built
    finally:
        await built.reader.close()
        await built.topology.close()


def client_of(url: str) -> Redis:
    """Return a client of a single server, as the service has it."""
    client = connect(url)
    if not isinstance(client, Redis):
        raise TypeError(f"{url} is no address of a single server")
    return client
