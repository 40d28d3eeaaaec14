"""Somebody else's stream, which gets its events whatever is done to the service meanwhile."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import jobcast
from tests.fuzz.answers import check_frames
from tests.support.service import Service
from tests.support.sse import Stream, watch
from tests.support.waiting import eventually

_SESSION = "bystander"


@contextmanager
def undisturbed(runner: asyncio.Runner, service: Service, redis_url: str) -> Iterator[None]:
    """Watch a job for the length of a block; check that its events come, and that nothing is left.

    Left would be open streams, open connections, and errors in the service's log.
    """
    logged = len(service.log)
    ways_out = AsyncExitStack()

    async def come() -> tuple[jobcast.Run, Stream]:
        jobs = await ways_out.enter_async_context(jobcast.connect(redis_url))
        job_id = await jobs.create("anything", session_id=_SESSION)
        stream = await ways_out.enter_async_context(watch(service.url, job_id, session=_SESSION))
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        return run, stream

    async def see(run: jobcast.Run, stream: Stream) -> None:
        for number in range(5):
            await run.emit("note", {"number": number})
        await run.complete()
        events = await stream.rest()
        if b"retry: " in stream.body:  # a long run on a busy machine outlives a stream's max age
            last = stream.parser.last_event_id
            async with watch(
                service.url, run.job_id, session=_SESSION, last_event_id=last
            ) as again:
                events += (await again.rest())[1:]
        names = [event.name for event in events]
        assert names == ["step-change", *["note"] * 5, "complete"]
        assert [event.data for event in events[1:-1]] == [{"number": n} for n in range(5)]
        check_frames(stream.body)

    async def nothing_is_left() -> bool:
        return (await service.metrics())["jobcast_streams"] == 0 == service.connections()

    run, stream = runner.run(come())
    try:
        yield
        runner.run(see(run, stream))
        runner.run(ways_out.aclose())
        runner.run(eventually(nothing_is_left))
        assert "Traceback" not in service.log[logged:]
    finally:
        runner.run(ways_out.aclose())
