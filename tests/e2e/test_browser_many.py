"""A list page in Chromium: ``watchJobs`` against the real service."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page

import jobcast
from tests.support.service import SESSION, Service
from tests.support.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

JOBS = 300
_OPEN = """
async ([base, options]) => {
  const { watchJobs } = await import(`${base}/jobcast-many.js`);
  globalThis.events = [];
  globalThis.list = watchJobs({ ...options, onEvent: (event) => events.push(event) });
}
"""


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url) as connected:
        yield connected


async def created(jobs: jobcast.Jobs, count: int) -> list[str]:
    return await asyncio.gather(*(jobs.create("report", session_id=SESSION) for _ in range(count)))


async def watch(page: Page, service: Service, **options: object) -> None:
    await page.goto(f"{service.url}/healthz")
    await page.evaluate(_OPEN, [service.url, {"session": SESSION, **options}])


async def until(page: Page, condition: str) -> None:
    """Wait until a condition holds, in which ``states`` are those of all jobs."""
    await page.wait_for_function(
        f"() => {{ const states = [...list.jobs.values()]; return {condition}; }}",
        polling=50,
        timeout=PATIENCE_SECONDS * 1000,
    )


async def test_three_hundred_jobs_of_a_page_take_two_streams_until_all_have_ended(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_ids = await created(jobs, JOBS)
    await watch(page, service, jobs=job_ids)
    await until(
        page, f"states.filter((s) => s.connection === 'live' && s.status).length === {JOBS}"
    )
    assert (await service.metrics())["jobcast_streams"] == 2

    async def work(job_id: str) -> None:
        async with jobs.run(job_id) as run:
            await run.progress(50, job_id)
            run.result = job_id

    await asyncio.gather(*map(work, job_ids))
    results = await page.evaluate(
        "list.closed.then((jobs) => [...jobs].map(([id, state]) => [id, state.result]))"
    )
    assert results == [[job_id, job_id] for job_id in job_ids]

    async def is_closed() -> bool:
        return (await service.metrics())["jobcast_streams"] == 0

    await eventually(is_closed)
    assert await page.evaluate("events.filter(({ name }) => name === 'complete').length") == JOBS


async def test_a_list_of_the_callers_jobs_follows_them_through_a_crash_of_the_service(
    redis_url: str, jobs: jobcast.Jobs, page: Page
) -> None:
    with Service(redis_url) as service:
        [first] = await created(jobs, 1)
        await watch(page, service, mine="active")
        await until(page, "states.length === 1 && states[0].connection === 'live'")
        [second] = await created(jobs, 1)
        await until(page, "states.length === 2")
        await asyncio.to_thread(service.kill)
        await until(page, "states.every((s) => s.connection !== 'live')")
        async with jobs.run(first) as run:
            run.result = 1
        [third] = await created(jobs, 1)
        await asyncio.to_thread(service.start)
        await until(page, "states.length === 3 && states[0].outcome === 'succeeded'")
        async with service.client() as client:
            assert (await client.post(f"/api/v1/jobs/{second}/cancel")).status_code == 200
        await until(page, "states[1].outcome === 'cancelled'")
        async with service.client() as client:
            assert (await client.post(f"/api/v1/jobs/{second}/retry")).status_code == 200
        await until(page, "states[1].outcome === null && states[1].status === 'queued'")
        assert await page.evaluate("[...list.jobs.keys()]") == [first, second, third]
        await page.evaluate("list.close()")
