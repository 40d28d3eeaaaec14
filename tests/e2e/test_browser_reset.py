"""What Chromium's own EventSource, and the page, make of the stream's own words."""

import asyncio
import json

import pytest
from playwright.async_api import Page, expect
from redis.asyncio import Redis

import jobcast
from schema.entry_id import position
from tests.support.browser import Source
from tests.support.service import SESSION, Service
from tests.support.stored import retry
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def next_attempt(redis_url: str, run: jobcast.Run, job_id: str) -> None:
    """Fail a run and retry its job."""
    await run.fail("No paper")
    async with Redis.from_url(redis_url, decode_responses=True) as redis:
        await retry(redis, job_id)


async def test_a_reset_and_pings_reach_a_page_and_leave_its_last_event_id_alone(
    redis_url: str, page: Page
) -> None:
    with Service(redis_url, JOBCAST_KEEPALIVE_S="1") as service:
        async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
            job_id = await jobs.create("anything", session_id=SESSION)
            await page.goto(f"{service.url}/healthz")
            url = f"{service.url}/api/v1/jobs/{job_id}/stream?sessionId={SESSION}&ping=1"
            source = await Source.open(page, url, "reset", "ping", "tick")
            await source.sees("progress-update")
            run = jobs.run(job_id)
            await run.start()
            seen = await run.emit("tick", {"n": 1})
            await source.sees_id(seen)
            pings = await source.count("ping")
            await eventually(lambda: _has_more(source, pings))

            await asyncio.to_thread(service.kill)
            await next_attempt(redis_url, run, job_id)
            second = jobs.run(job_id)
            await second.start()
            last = await second.progress(30)
            await asyncio.to_thread(service.start)

            await source.sees("reset")
            await source.sees_id(last)
            await second.complete()
            await source.sees("complete")
            events = await source.events
    pinged = [event for event in events if event.name == "ping"]
    assert pinged
    assert all(event.data == {} for event in pinged)
    place = {name: [event.name for event in events].index(name) for name in ("ping", "reset")}
    for at in place.values():
        assert events[at].id == events[at - 1].id
    connected, reset, snapshot = events[place["reset"] - 1 : place["reset"] + 2]
    assert (connected.name, connected.id) == ("connected", seen)
    assert (reset.data, reset.id) == ({"attempt": 2, "reason": "attempt"}, seen)
    assert (snapshot.name, snapshot.id) == ("progress-update", last)
    assert snapshot.data["progress"] == 30
    assert [event.name for event in events].count("reset") == 1


async def test_the_page_forgets_on_a_reset_what_it_had_gathered(
    service: Service, redis_url: str, page: Page
) -> None:
    """An invention, which is believed until the log tells better, makes one on an open stream."""
    await page.goto(service.url)
    session = await page.evaluate("localStorage.getItem('jobcast.session')")
    rows = page.get_by_test_id("log").locator("li")
    async with (
        jobcast.connect(redis_url, progress_per_s=None) as jobs,
        Redis.from_url(redis_url, decode_responses=True) as redis,
    ):
        job_id = await jobs.create("checksum", session_id=session)
        await page.goto(f"{service.url}/#job={job_id}")
        run = jobs.run(job_id)
        await run.start()
        await run.emit("file-hashed", {"path": "before it"})
        last = await run.progress(30, "Reading", filesDone=1, filesTotal=5)
        await expect(page.get_by_text("1 of 5 files")).to_be_visible()

        data = {"progress": 80, "currentStep": "Invented", "estimatedTimeRemaining": 1}
        millisecond, sequence = position(last)
        its_id = f"{millisecond}-{sequence + 500}"  # above the last entry's, and never a real one's
        invention = {"id": its_id, "prev": last, "event": "progress-update", "data": data}
        await redis.publish(f"jobs:{job_id}:events", json.dumps(invention))
        await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "80")
        await run.emit("file-hashed", {"path": "after it"})

        await expect(rows.filter(has_text="after it")).to_have_count(1)
        await expect(rows.first).to_have_attribute("data-event", "reset")
        shown = await rows.evaluate_all("rows => rows.map((row) => row.dataset.event)")
        assert shown == ["reset", "progress-update", "file-hashed"]
        await expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "30")
        await expect(page.get_by_text("1 of 5 files")).to_be_visible()
        await run.complete({"files": 0})
        await expect(page.get_by_test_id("job")).to_have_attribute("data-state", "succeeded")


async def _has_more(source: Source, pings: int) -> bool:
    return await source.count("ping") > pings
