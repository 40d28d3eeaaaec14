"""What Chromium's own EventSource makes of a stream, in a page of the service."""

import asyncio

import pytest
from playwright.async_api import BrowserContext, Page

import jobcast
from tests.support.browser import CLOSED, CONNECTING, Source
from tests.support.service import SESSION, Service
from tests.support.valkey import Valkey
from tests.support.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAYINGS = [
    "Grüße aus Øst, ¿qué tal? Ελληνικά",
    "日本語のテキスト 한국어 中文",
    "مرحبا بالعالم, שלום",
    "👩‍👩‍👧‍👦 🏳️‍🌈 𐍈𐎠𓂀 é e\u0301",
    "one\ntwo\r\nthree\rfour\u2028five\u2029six\u0085seven",
    "\n\nevent: complete\ndata: {}\n\n: forged",
    '"quoted" \\back\\ </script> \u0000 \ufeff \U0010ffff',
]


def stream_url(service: Service, job_id: str) -> str:
    return f"{service.url}/api/v1/jobs/{job_id}/stream?sessionId={SESSION}"


def requests(service: Service, job_id: str) -> list[str]:
    """Return what the service has logged of the answers to requests of a job's stream."""
    return [line for line in service.log.splitlines() if job_id in line]


async def watching(page: Page, service: Service, job_id: str) -> Source:
    await page.goto(service.url)
    source = await Source.open(page, stream_url(service, job_id), "tick")
    await source.sees("progress-update")
    return source


async def test_an_event_source_left_open_sees_complete_once_and_is_stopped_by_204(
    service: Service, redis_url: str, page: Page
) -> None:
    async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
        job_id = await jobs.create("anything", session_id=SESSION)
        source = await watching(page, service, job_id)
        async with jobs.run(job_id) as run:
            await run.progress(40, "Writing…")
            run.result = {"ok": "ü"}
        await source.sees("complete")
        await source.is_in(CLOSED)  # for good, as the standard has it
    names = [event.name for event in await source.events]
    assert names == ["connected", "progress-update", "step-change", "progress-update", "complete"]
    assert (await source.events)[-1].data == {"result": {"ok": "ü"}}
    answers = requests(service, job_id)
    assert [" 200 " in line for line in answers] == [True, False]
    assert " 204 " in answers[-1]


async def test_it_gets_through_an_outage_of_redis_and_misses_and_repeats_nothing(
    context: BrowserContext,
) -> None:
    with (
        Valkey() as valkey,
        Service(valkey.url, JOBCAST_KEEPALIVE_S="1") as steady,
        Service(valkey.url, JOBCAST_STREAM_MAX_AGE_S="1") as restless,
    ):
        async with jobcast.connect(valkey.url, progress_per_s=None) as jobs:
            job_id = await jobs.create("anything", session_id=SESSION)
            stays = await watching(await context.new_page(), steady, job_id)
            reconnects = await watching(await context.new_page(), restless, job_id)
            run = jobs.run(job_id)
            ids = [await run.start(), await run.emit("tick", {"n": 1}), await run.progress(40)]
            for source in (stays, reconnects):
                await source.sees_id(ids[-1])

            before = len(requests(restless, job_id))
            valkey.kill()
            # The end of its stream is one, and what it was told when it came again the next.
            await until(lambda: len(requests(restless, job_id)) >= before + 2)
            valkey.start()

            ids += [await run.emit("tick", {"n": 2}), await run.progress(90), await run.complete()]
            for source in (stays, reconnects):
                await source.sees("complete")
            await stays.is_in(CLOSED)
            for source in (stays, reconnects):
                assert await source.ids() == ids
            assert await stays.count("connected") == 1


async def test_it_misses_and_repeats_nothing_when_the_service_restarts_or_crashes(
    redis_url: str, page: Page
) -> None:
    with Service(redis_url) as service:
        async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
            job_id = await jobs.create("anything", session_id=SESSION)
            source = await watching(page, service, job_id)
            run = jobs.run(job_id)
            ids = [await run.start(), await run.progress(10)]
            for end in (service.stop, service.kill):
                await source.sees_id(ids[-1])
                await asyncio.to_thread(end)
                ids += [await run.emit("tick", {"while": "away"}), await run.progress(50)]
                await asyncio.to_thread(service.start)
                ids += [await run.emit("tick", {"while": "back"})]
            await source.sees_id(ids[-1])
            ids += [await run.progress(70), await run.complete()]
            await source.sees("complete")
    assert await source.ids() == ids
    assert await source.count("connected") == 3


async def test_it_comes_again_at_the_streams_max_age_and_misses_and_repeats_nothing(
    redis_url: str, page: Page
) -> None:
    with Service(redis_url, JOBCAST_STREAM_MAX_AGE_S="1") as service:
        async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
            job_id = await jobs.create("anything", session_id=SESSION)
            source = await watching(page, service, job_id)
            run = jobs.run(job_id)
            ids = [await run.start()]
            await source.is_in(CONNECTING)
            ids += [await run.emit("tick", {"while": "away"}), await run.progress(40)]
            await source.sees_id(ids[-1])
            ids += [await run.emit("tick", {"while": "back"}), await run.complete()]
            await source.sees("complete")
    assert await source.ids() == ids
    assert await source.count("connected") >= 2
    assert (await source.events)[0].data["maxAgeSeconds"] == 1


async def test_a_page_of_another_origin_can_watch_when_it_is_allowed_to(
    service: Service, redis_url: str, page: Page
) -> None:
    with Service(redis_url, JOBCAST_CORS_ORIGINS=service.url) as allowing:
        async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
            job_id = await jobs.create("anything", session_id=SESSION)
            # Another port is another origin. This document has no policy of its own.
            await page.goto(f"{service.url}/healthz")
            source = await Source.open(page, stream_url(allowing, job_id))
            await source.sees("progress-update")
            async with jobs.run(job_id) as run:
                await run.progress(40)
            await source.sees("complete")
            assert await source.count("complete") == 1

            await page.goto(f"{allowing.url}/healthz")
            refused = await Source.open(page, stream_url(service, job_id))
            await refused.is_in(CLOSED)
            assert await refused.events == []


async def test_a_hundred_events_of_any_text_arrive_intact_and_in_order(
    service: Service, redis_url: str, page: Page
) -> None:
    sent = [{"n": n, "text": SAYINGS[n % len(SAYINGS)], "naïve 🔑": [n]} for n in range(100)]
    async with jobcast.connect(redis_url, progress_per_s=None) as jobs:
        job_id = await jobs.create("anything", session_id=SESSION)
        source = await watching(page, service, job_id)
        async with jobs.run(job_id) as run:
            for data in sent:
                await run.emit("tick", data)
        await source.sees("complete")
    assert [event.data for event in await source.events if event.name == "tick"] == sent
    assert await source.count("complete") == 1
