"""What a process asks of Redis when the connection that follows its jobs was lost."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import pytest
from redis.asyncio import Redis

from actors.mailbox import Ending, Mailbox
from app.lifecycle import Service
from jobcast.protocol.append import SCRIPT
from jobcast.redis.connection import Replies
from jobcast.redis.server import Server
from schema.sse import Frame
from tests.support.parts import parts
from tests.support.waiting import eventually, until

JOBS = 2000


async def create_all(redis: Redis) -> list[str]:
    """Create and start the jobs."""
    ids = [f"job-{number}" for number in range(JOBS)]
    async with redis.pipeline(transaction=False) as pipe:
        for job_id in ids:
            keys = (f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state")
            fields = ("type", "t", "userId", "u1")
            create = ("PUBLISH", "create", "", "", "", "{}", "", 2, *fields)
            pipe.eval(SCRIPT, 2, *keys, *create)
            pipe.eval(SCRIPT, 2, *keys, "PUBLISH", "start", "", "run", "", "", "", 0)
        await pipe.execute()
    return ids


async def emit(redis: Redis, job_id: str) -> None:
    keys = (f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state")
    await redis.eval(SCRIPT, 2, *keys, "PUBLISH", "emit", "", "run", "note", "{}", "", 0)


async def calls(redis: Redis, command: str) -> int:
    """Return how often Redis was sent a command."""
    stats = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@asynccontextmanager
async def watched(service: Service, ids: list[str]) -> AsyncIterator[dict[str, list[Frame]]]:
    """Watch the jobs; what each viewer is shown is what the block gets."""
    shown: dict[str, list[Frame]] = {job_id: [] for job_id in ids}

    def viewer(job_id: str) -> Mailbox:
        def offer(frame: Frame) -> bool:
            shown[job_id].append(frame)
            return True

        return Mailbox(1 << 20, offer, lambda: None)

    running = asyncio.create_task(service.subscriptions.run())
    with ExitStack() as viewing:
        mailboxes = [viewer(job_id) for job_id in ids]
        for job_id, mailbox in zip(ids, mailboxes, strict=True):
            state = await service.reader.load(job_id)
            assert state is not None
            viewing.enter_context(service.directory.viewing(job_id, state, mailbox, None))
        await until(lambda: all(shown.values()))
        yield shown
        assert not [mailbox for mailbox in mailboxes if mailbox.ending is Ending.RETRY]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_all_jobs_recover_in_batches_over_the_connections_there_are(
    redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await create_all(redis_client)
    batches = 0
    ordinary = Server.ask

    async def counted(server: Server, commands: bytes, count: int) -> Replies:
        nonlocal batches
        batches += 1
        return await ordinary(server, commands, count)

    async with parts(redis_url) as service, watched(service, ids) as shown:
        monkeypatch.setattr(Server, "ask", counted)
        subscribed = await calls(redis_client, "subscribe")
        connections = (await redis_client.info("clients"))["connected_clients"]
        await redis_client.client_kill_filter(_type="pubsub")
        for job_id in ids[::100]:
            await emit(redis_client, job_id)

        async def is_recovered() -> bool:
            names = await redis_client.pubsub_channels("jobs:*")
            return len(names) == JOBS and all(len(shown[job_id]) == 2 for job_id in ids[::100])

        await eventually(is_recovered)
        (asked,) = service.reader._batches._batches.values()
        await until(lambda: not vars(asked)["_pending"])
        assert await calls(redis_client, "subscribe") - subscribed <= math.ceil(JOBS / 500)
        assert batches <= 2 * math.ceil(JOBS / 200) + len(ids[::100])
        assert (await redis_client.info("clients"))["connected_clients"] <= connections
        assert all(len(frames) == 1 for job_id, frames in shown.items() if job_id not in ids[::100])
