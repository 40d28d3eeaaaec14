# mypy: disable-error-code="import-not-found"
"""The obvious way with Starlette: sse-starlette, a queue for each viewer, redis-py's ``PubSub``."""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

redis = Redis.from_pool(
    BlockingConnectionPool.from_url(os.environ["REDIS_URL"], decode_responses=True)
)
pubsub = redis.pubsub()
viewers: defaultdict[str, set[asyncio.Queue[dict[str, str]]]] = defaultdict(set)


async def fan_out() -> None:
    """Give each publication to the queues of its job."""
    await pubsub.subscribe("nothing")  # without any subscription it can't be listened to
    async for message in pubsub.listen():
        if message["type"] == "message":
            event = json.loads(message["data"])
            frame = {"event": event["event"], "data": json.dumps(event["data"]), "id": event["id"]}
            for queue in viewers[message["channel"]]:
                queue.put_nowait(frame)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - Starlette's signature
    """Listen while the server runs."""
    task = asyncio.create_task(fan_out())
    yield
    task.cancel()


async def stream(request: Request) -> Response:
    """Check the session and stream."""
    job_id = request.path_params["job_id"]
    owner = await redis.hget(f"jobs:{{{job_id}}}:state", "sessionId")
    if owner is None or owner != request.query_params.get("sessionId"):
        return Response(status_code=404)
    channel = f"jobs:{job_id}:events"

    async def events() -> AsyncIterator[dict[str, Any]]:
        queue: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        if not viewers[channel]:
            await pubsub.subscribe(channel)
        viewers[channel].add(queue)
        try:
            yield {"event": "connected", "data": "{}"}
            while True:
                yield await queue.get()
        finally:
            viewers[channel].discard(queue)

    return EventSourceResponse(events())


app = Starlette(routes=[Route("/api/v1/jobs/{job_id}/stream", stream)], lifespan=lifespan)
