"""The page of the interface in Chromium."""

from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.support.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = 390
GROUNDS: dict[Literal["light", "dark"], str] = {
    "light": "rgb(245, 245, 241)",
    "dark": "rgb(16, 19, 22)",
}


@pytest.mark.parametrize("scheme", GROUNDS)
async def test_the_page_shows_each_call_and_event_and_needs_nobody_else(
    scheme: Literal["light", "dark"], service: Service, page: Page
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("requestfailed", lambda request: said.append(request.url))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.emulate_media(color_scheme=scheme)
    await page.goto(f"{service.url}/docs")
    await expect(page.locator("body")).to_have_css("background-color", GROUNDS[scheme])
    for name in ("createJob", "listJobs", "getStatus", "watchJob", "cancelJob", "retryJob"):
        await expect(page.locator(f"#{name}")).to_contain_text("UNAUTHORIZED")
    for name in ("connected", "reset", "progress-update", "complete", "failed", "custom"):
        heading = page.locator("#stream h3").get_by_text(name, exact=True)
        await expect(heading).to_be_visible()
    assert all(url.startswith(f"{service.url}/") for url in asked)
    assert not said


async def test_the_contents_lead_to_parts_of_the_page(service: Service, page: Page) -> None:
    await page.goto(f"{service.url}/docs")
    names = await page.locator("nav a").evaluate_all("links => links.map(({ hash }) => hash)")
    assert len(names) > 10
    for name in names:
        await expect(page.locator(name)).to_have_count(1)


async def test_the_page_fits_a_phone(service: Service, page: Page) -> None:
    await page.set_viewport_size({"width": PHONE, "height": 800})
    await page.goto(f"{service.url}/docs")
    assert await page.evaluate("document.documentElement.scrollWidth") == PHONE
