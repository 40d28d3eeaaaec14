"""What docs/browser.md tells a newcomer to write, in a page that has nothing else."""

import re
from typing import Final

import pytest
from playwright.async_api import Page, expect

import jobcast
from tests.support.hypercorn_server import serving
from tests.support.module_process import ROOT
from tests.support.service import SESSION, Service
from tests.support.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")

GUIDE: Final = (ROOT / "docs" / "browser.md").read_text()
EXAMPLES: Final = re.findall(r"^```html\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)[:2]


@pytest.mark.parametrize("example", EXAMPLES, ids=["a script tag", "an element"])
async def test_the_first_examples_show_a_job_in_a_page_of_another_origin(
    redis_url: str, page: Page, example: str
) -> None:
    assert len(example.splitlines()) <= 5
    site = Site()
    async with serving(site) as origin, jobcast.connect(redis_url, progress_per_s=None) as jobs:
        with Service(redis_url, JOBCAST_CORS_ORIGINS=origin) as service:
            job_id = await jobs.create("report", session_id=SESSION)
            for given, own in (
                ("https://jobs.example.org", service.url),
                ('"JOB"', f'"{job_id}"'),
                ('"ME"', f'"{SESSION}"'),
            ):
                assert given in example
                example = example.replace(given, own)
            site.page = example
            await page.goto(origin)
            value = "value" if "<progress" in example else "aria-valuenow"
            async with jobs.run(job_id) as run:
                await run.progress(40)
                await expect(page.get_by_role("progressbar")).to_have_attribute(value, "40")
