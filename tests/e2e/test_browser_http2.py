"""What Chromium does with many streams of a service that speaks HTTP/2 itself."""

import pytest
from playwright.async_api import Browser

import jobcast
from tests.support.certificate import Certificate
from tests.support.service import SESSION, Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

STREAMS = 30  # over HTTP/1.1 a browser opens six of a site
OPEN = """
urls => {
  globalThis.live = 0;
  globalThis.ends = urls.map((url) => new Promise((ended) => {
    const source = new EventSource(url);
    source.addEventListener("connected", () => { globalThis.live += 1; });
    source.addEventListener("complete", (event) => { source.close(); ended(event.lastEventId); });
  }));
}
"""


async def test_a_page_holds_many_more_streams_than_http_1_would_let_it(
    browser: Browser, redis_url: str, certificate: Certificate
) -> None:
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    with Service(redis_url, certificate=certificate) as service:
        async with jobcast.connect(redis_url) as jobs:
            job_ids = [await jobs.create("anything", session_id=SESSION) for _ in range(STREAMS)]
            await page.goto(service.url)
            urls = [f"/api/v1/jobs/{job_id}/stream?sessionId={SESSION}" for job_id in job_ids]
            await page.evaluate(OPEN, urls)
            await page.wait_for_function(
                "count => globalThis.live === count", arg=STREAMS, polling=50
            )
            lasts = []
            for job_id in job_ids:
                run = jobs.run(job_id)
                await run.start()
                lasts.append(await run.complete())
            assert await page.evaluate("Promise.all(globalThis.ends)") == lasts
            protocols = await page.evaluate(
                "performance.getEntries().map((entry) => entry.nextHopProtocol).filter(Boolean)"
            )
            assert set(protocols) == {"h2"}
        await context.close()
