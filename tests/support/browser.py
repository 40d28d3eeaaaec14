"""Chromium for tests, and a native EventSource in one of its pages."""

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Self

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.support.needs import CHROMIUM
from tests.support.sse import Event
from tests.support.valkey import HOST, free_port
from tests.support.waiting import PATIENCE_SECONDS

CONNECTING: Final = 0
CLOSED: Final = 2

WHOLE: Final = "chromium"
SHELL: Final = "chromium-headless-shell"
"""Chromium without tabs and windows: pages and network are the same, at a third of the CPU."""

# Playwright's own arguments disable the rest: sandbox, updates, first run, background traffic.
_ARGUMENTS: Final = ("--disable-gpu", "--disable-quic", "--disable-sync")
_UNLIKE_USERS: Final = (
    "--disable-back-forward-cache",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)
_POLL_MS: Final = 50

_OPEN: Final = """
([url, names]) => {
  const source = new EventSource(url);
  const events = [];
  for (const name of names) {
    source.addEventListener(name, ({ data, lastEventId }) =>
      events.push({ name, data: JSON.parse(data), id: lastEventId }));
  }
  globalThis.watched = { source, events };
}
"""


@asynccontextmanager
async def chromium(
    *more: str, without: Sequence[str] = (), programs: Sequence[str] = (SHELL, WHOLE)
) -> AsyncIterator[Browser]:
    """Run the installed Chromium; skip the test if there is none.

    Args:
        more: further arguments of Chromium.
        without: arguments of Playwright that are left out.
        programs: names of the program, the preferred one first.
    """
    executable = next(filter(None, map(shutil.which, programs)), None)
    if executable is None:
        pytest.skip(CHROMIUM)
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=[*_ARGUMENTS, *more],
            ignore_default_args=list(without),
        )
        yield browser
        await browser.close()


@asynccontextmanager
async def tabs() -> AsyncIterator[BrowserContext]:
    """Run a Chromium that treats its tabs like a user's browser.

    It hides, throttles and may freeze background tabs, and keeps pages in the back/forward cache.
    Playwright disables all that; in its own contexts it can't be enabled.
    """
    port = free_port()
    debugging = f"--remote-debugging-port={port}"
    async with chromium(debugging, without=_UNLIKE_USERS, programs=[WHOLE]) as browser:
        url = f"http://{HOST}:{port}"
        as_it_is = await browser.browser_type.connect_over_cdp(url, no_defaults=True)
        yield as_it_is.contexts[0]


class Source:
    """The native EventSource of a page, at most one, with all events since it was opened."""

    def __init__(self, page: Page) -> None:
        self._page = page

    @classmethod
    async def open(cls, page: Page, url: str, *custom: str) -> Self:
        """Open it on a stream; ``custom`` are the custom events to listen to."""
        contract = ("connected", "progress-update", "step-change", "complete", "failed")
        await page.evaluate(_OPEN, [url, [*contract, *custom]])
        return cls(page)

    @property
    async def events(self) -> list[Event]:
        """Return the events that it has dispatched, oldest first."""
        seen = await self._page.evaluate("watched.events")
        return [Event(event["name"], event["data"], event["id"]) for event in seen]

    async def count(self, name: str) -> int:
        """Return the number of dispatched events of a name."""
        return sum(event.name == name for event in await self.events)

    async def ids(self) -> list[str]:
        """Return the ids of the events from the log, without that of the first snapshot."""
        events = [event for event in await self.events if event.name != "connected"]
        return [event.id for event in events[1:]]

    async def sees(self, name: str) -> None:
        """Wait for the first event of a name."""
        await self._until("name => watched.events.some((event) => event.name === name)", name)

    async def sees_id(self, entry_id: str) -> None:
        """Wait for the event of an entry of the log."""
        await self._until("id => watched.events.some((event) => event.id === id)", entry_id)

    async def is_in(self, state: int) -> None:
        """Wait for a ``readyState``."""
        await self._until("state => watched.source.readyState === state", state)

    async def _until(self, condition: str, argument: object) -> None:
        await self._page.wait_for_function(
            condition, arg=argument, polling=_POLL_MS, timeout=PATIENCE_SECONDS * 1000
        )
