"""The service's components, within the test's process and without HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from app.lifecycle import Service, build
from app.settings import Settings
from tests.support.service import SECRET


@asynccontextmanager
async def parts(url: str, **settings: Any) -> AsyncIterator[Service]:  # noqa: ANN401 - any
    """Build the components of a service, and close their connections after the block."""
    built = build(Settings(redis_url=url, jwt_secret=SECRET, **settings))
    try:
        yield built
    finally:
        await built.reader.close()
        await built.redis.aclose()
