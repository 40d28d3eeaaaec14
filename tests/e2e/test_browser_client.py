"""``watchJob`` in Chromium, against the real service, through what befalls a page."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page

import jobcast
from tests.support.expiring import LIVES_S
from tests.support.needs import NGINX
from tests.support.nginx import BINARY, Nginx
from tests.support.proxy import Proxy
from tests.support.service import SESSION, Service, token
from tests.support.valkey import HOST
from tests.support.watched import HAS_BEEN, Watched

pytestmark = pytest.mark.asyncio(loop_scope="session")

USER = "user-1"


@pytest_asyncio.fixture(loop_scope="session")
async def jobs(redis_url: str) -> AsyncIterator[jobcast.Jobs]:
    """Return the worker library in the loop that the browser is in."""
    async with jobcast.connect(redis_url, progress_per_s=None) as connected:
        yield connected


async def watch(page: Page, service: Service, job_id: str, **options: object) -> Watched:
    return await Watched.job(page, service.url, job_id, session=SESSION, **options)


async def test_a_job_is_watched_from_its_state_to_its_end(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    watched = await watch(page, service, job_id, events=["tick"])
    await watched.until_live()
    assert (await watched.state)["status"] == "queued"
    async with jobs.run(job_id) as run:
        await run.step("Writing", 10)
        await run.progress(40, "Writing", eta=30, phase="draft")
        await run.emit("tick", {"n": 1})
        await watched.until("state.fields.phase === 'draft'")
        state = await watched.state
        assert (state["status"], state["progress"], state["step"], state["eta"]) == (
            *("running", 40, "Writing"),
            30,
        )
        run.result = {"ok": "ü"}
    assert await watched.outcome() == "succeeded"
    state = await watched.state
    assert (state["result"], state["connection"]) == ({"ok": "ü"}, "closed")
    assert await watched.data("tick") == [{"n": 1}]
    assert len([line for line in service.log.splitlines() if job_id in line]) == 1


async def test_it_gets_through_restarts_and_crashes_of_the_service_without_a_gap(
    redis_url: str, jobs: jobcast.Jobs, page: Page
) -> None:
    with Service(redis_url) as service:
        job_id = await jobs.create("anything", session_id=SESSION)
        watched = await watch(page, service, job_id, events=["tick"])
        await watched.until_live()
        run = jobs.run(job_id)
        await run.start()
        for n, end in enumerate((service.stop, service.kill)):
            await asyncio.to_thread(end)
            await watched.until("state.connection !== 'live'")
            await run.emit("tick", {"n": n})
            await asyncio.to_thread(service.start)
            await watched.until_live()
        await run.complete()
        assert await watched.outcome() == "succeeded"
        assert await watched.data("tick") == [{"n": 0}, {"n": 1}]
        assert "reset" not in await watched.names()


async def test_behind_a_proxy_that_keeps_the_events_to_itself_the_end_arrives(
    redis_url: str, jobs: jobcast.Jobs, page: Page
) -> None:
    if BINARY is None:
        pytest.skip(NGINX)
    hold_back = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;"
    with (
        Service(redis_url, JOBCAST_KEEPALIVE_S="1") as service,
        Nginx(service.url, hold_back) as nginx,
    ):
        job_id = await jobs.create("anything", session_id=SESSION)
        watched = await Watched.job(page, nginx.url, job_id, session=SESSION)
        await watched.until("state.transport === 'polling'")
        run = jobs.run(job_id)
        await run.start()
        await run.progress(40, "Writing")
        await watched.until("state.progress === 40")
        assert await watched.names() == []
        await run.complete({"ok": 1})
        assert await watched.outcome() == "succeeded"
        assert (await watched.state)["result"] == {"ok": 1}


async def test_a_token_that_expires_is_asked_for_again(
    redis_url: str, jobs: jobcast.Jobs, page: Page
) -> None:
    given: list[str] = []
    lives_s = list(LIVES_S)

    async def fresh() -> str:
        life_s = 3600 if await page.evaluate(f"({HAS_BEEN})('live')") else lives_s.pop(0)
        given.append(token(USER, exp=int(time.time()) + life_s))
        return given[-1]

    await page.expose_function("freshToken", fresh)
    with Service(redis_url) as service:
        job_id = await jobs.create("anything", user_id=USER)
        while True:
            watched = await Watched.job(page, service.url, job_id, token="function")
            await watched.until_any("live", "denied")
            if await watched.has_been("live"):  # else the tokens had expired by then
                break
        await watched.until_any("reconnecting")
        await watched.until_live()
        run = jobs.run(job_id)
        await run.start()
        await run.complete()
        assert await watched.outcome() == "succeeded"
        answers = [line for line in service.log.splitlines() if f"{job_id}/stream" in line]
    refused = [" 401 " in line for line in answers]
    late = refused.index(False)
    assert late < len(LIVES_S) - len(lives_s), "no more than tokens that had expired before"
    assert refused[late:] == [False, True, False]
    assert all(text not in service.log for text in given)


async def test_a_page_that_could_not_load_what_tokens_need_calls_their_function_all_the_same(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    async def fresh() -> str:
        return token(USER)

    await page.expose_function("freshToken", fresh)
    await page.route("**/token.js", lambda route: route.abort())
    job_id = await jobs.create("anything", user_id=USER)
    watched = await Watched.job(page, service.url, job_id, token="function")
    await watched.until_live()


@pytest.mark.parametrize(("session", "code"), [("another", "JOB_NOT_FOUND"), ("", "UNAUTHORIZED")])
async def test_a_job_that_may_not_be_watched_is_told_apart(
    service: Service, jobs: jobcast.Jobs, page: Page, session: str, code: str
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    watched = await Watched.job(page, service.url, job_id, session=session)
    assert (await watched.outcome())["code"] == code
    assert (await watched.state)["connection"] == "denied"


async def test_too_many_streams_are_no_end_but_polling(
    redis_url: str, jobs: jobcast.Jobs, context: BrowserContext
) -> None:
    with Service(redis_url, JOBCAST_STREAMS_PER_JOB="1") as service:
        job_id = await jobs.create("anything", session_id=SESSION)
        first = await watch(await context.new_page(), service, job_id)
        await first.until_live()
        second = await watch(await context.new_page(), service, job_id)
        await second.until("state.transport === 'polling' && state.status === 'queued'")
        await first.page.evaluate("watched.job.close()")
        await second.until_live()
        async with jobs.run(job_id):
            pass
        assert await second.outcome() == "succeeded"
        assert await first.outcome() is None


async def test_events_of_any_name_are_heard_by_fetch_and_none_is_missed_or_repeated(
    redis_url: str, jobs: jobcast.Jobs, page: Page
) -> None:
    with Service(redis_url, JOBCAST_STREAM_MAX_AGE_S="2") as service:
        job_id = await jobs.create("anything", session_id=SESSION)
        watched = await watch(page, service, job_id, events="all")
        await watched.until_live()
        run = jobs.run(job_id)
        await run.start()
        names = [f"of-any-name-{n}" for n in range(12)]
        for n, name in enumerate(names):
            await run.emit(name, {"n": n})
            if n % 4 == 3:
                await watched.until("state.connection === 'reconnecting'")
        await run.complete()
        assert await watched.outcome() == "succeeded"
        heard = [name for name in await watched.names() if name.startswith("of-any-name")]
    assert heard == names
    assert "reset" not in await watched.names()


async def test_a_page_that_was_offline_catches_up_as_soon_as_it_is_back(
    service: Service, jobs: jobcast.Jobs, page: Page, context: BrowserContext
) -> None:
    await page.clock.install()
    async with Proxy(service.port) as network:
        job_id = await jobs.create("anything", session_id=SESSION)
        url = f"http://{HOST}:{network.port}"
        watched = await Watched.job(page, url, job_id, session=SESSION, events="all")
        await watched.until_live()
        run = jobs.run(job_id)
        await run.start()
        await context.set_offline(True)
        network.cut()  # which Chromium does not do to streams that are open
        await watched.until("state.connection === 'reconnecting'")
        await run.progress(60)
        await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
        await context.set_offline(False)
        await watched.until("state.progress === 60")  # no timer has told it to look
        await page.clock.resume()
        await watched.until_live()
        await run.complete()
        assert await watched.outcome() == "succeeded"


async def test_a_job_that_is_retried_under_an_open_page_is_watched_again(
    service: Service, jobs: jobcast.Jobs, page: Page
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    watched = await watch(page, service, job_id)
    await watched.until_live()
    run = jobs.run(job_id)
    await run.start()
    await run.progress(70)
    await run.fail("No paper")
    assert await watched.outcome() == "failed"
    await page.evaluate("watched.job.retry()")
    await watched.until("state.outcome === null && state.attempt === 2")
    await watched.until_live()
    async with jobs.run(job_id) as second:
        await second.progress(5)
        await watched.until("state.progress === 5")
    await watched.until("state.outcome === 'succeeded'")
    assert await page.evaluate("watched.job.closed") == "succeeded"
