"""``<job-progress>`` in a bare page of the service's origin."""

from typing import Final

from playwright.async_api import Locator, Page, Route

from tests.support.service import SESSION, Service

HTML: Final = """<!doctype html>
<html lang="{lang}" dir="{dir}"><meta charset="utf-8"><title>A page of mine</title>
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'self'{policy}">
<meta name="color-scheme" content="light dark">
<script type="module" src="/jobcast-element.js"></script>
<main>{body}</main></html>"""


async def shown(  # noqa: PLR0913 - what a page consists of
    page: Page,
    service: Service,
    body: str,
    *,
    lang: str = "en",
    direction: str = "ltr",
    policy: str = "",
) -> Locator:
    """Open a page of the service's origin that consists of this, and return its element.

    Args:
        page: the browser's.
        service: serves the element.
        body: the page's HTML.
        lang: the page's language.
        direction: the page's direction.
        policy: what its content security policy says besides, as ``; sandbox``.
    """

    async def answer(route: Route) -> None:
        text = HTML.format(body=body, lang=lang, dir=direction, policy=policy)
        await route.fulfill(content_type="text/html", body=text)

    await page.route("**/mine", answer)
    await page.goto(f"{service.url}/mine")
    return page.locator("job-progress")


def element(job_id: str, more: str = "", inner: str = "") -> str:
    """Return the tag of a job of the tests' session, with more attributes and inner HTML."""
    return f'<job-progress job="{job_id}" session="{SESSION}" {more}>{inner}</job-progress>'
