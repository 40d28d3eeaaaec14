"""A job that a page in Chromium watches with the browser client, and all states and events."""

import json
from typing import Any, Final, Self

from playwright.async_api import Page

from tests.support.waiting import PATIENCE_SECONDS

_POLL_MS: Final = 20

_WATCH: Final = """
async ([module, options]) => {
  const { watchJob } = await import(module);
  const told = { states: [], events: [], outcome: undefined };
  const callToken = options.token === "function" ? { token: () => freshToken() } : {};
  const job = watchJob({
    ...options,
    ...callToken,
    onState: (state) => told.states.push({ ...state, at: Date.now() }),
    onEvent: (event) => told.events.push(event),
  });
  job.closed.then((outcome) => { told.outcome = outcome; }, ({ status, code }) => {
    told.outcome = { status, code };
  });
  globalThis.watched = { job, told };
}
"""

HAS_BEEN: Final = """
(...connections) => globalThis.watched?.told.states.some(
  ({ connection }) => connections.includes(connection)) ?? false
"""
"""A function of the page: whether its job's ``connection`` has been one of these."""


class Watched:
    """The ``watchJob`` of a page, at most one."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @classmethod
    async def job(cls, page: Page, url: str, job_id: str, **options: Any) -> Self:  # noqa: ANN401
        """Watch a job of a service, from a page of the same origin.

        Args:
            page: the page.
            url: of the service.
            job_id: the job.
            options: options of ``watchJob``; the ``token`` ``"function"`` calls ``freshToken``.
        """
        # A document without a content security policy and scripts, which browsers may cache.
        await page.goto(f"{url}/static/css/tokens.css")
        await page.evaluate(_WATCH, [f"{url}/jobcast.js", {"jobId": job_id, **options}])
        return cls(page)

    @staticmethod
    def html(url: str, job_id: str, **options: object) -> str:
        """Return the HTML of a page that watches a job each time it is loaded."""
        given = json.dumps([f"{url}/jobcast.js", {"jobId": job_id, **options}])
        return f'<!doctype html><script type="module">({_WATCH})({given})</script>'

    @property
    async def state(self) -> dict[str, Any]:
        """Return the current state."""
        state: dict[str, Any] = await self.page.evaluate("watched.job.state")
        return state

    @property
    async def states(self) -> list[dict[str, Any]]:
        """Return all states since the start."""
        states: list[dict[str, Any]] = await self.page.evaluate("watched.told.states")
        return states

    async def names(self) -> list[str]:
        """Return the names of all events."""
        names: list[str] = await self.page.evaluate("watched.told.events.map(({ name }) => name)")
        return names

    async def data(self, name: str) -> list[Any]:
        """Return the data of all events of a name."""
        data: list[Any] = await self.page.evaluate(
            "name => watched.told.events.filter((e) => e.name === name).map((e) => e.data)", name
        )
        return data

    async def heard(self, name: str, times: int) -> None:
        """Wait for a number of events of a name."""
        await self.page.wait_for_function(
            "([n, t]) => watched.told.events.filter(({ name }) => name === n).length >= t",
            arg=[name, times],
            polling=_POLL_MS,
            timeout=PATIENCE_SECONDS * 1000,
        )

    async def until(self, condition: str, argument: object = None) -> None:
        """Wait for a condition of ``state`` and, if given, ``argument``."""
        await self.page.wait_for_function(
            f"argument => globalThis.watched && (({{ state }}) => {condition})(watched.job)",
            arg=argument,
            polling=_POLL_MS,
            timeout=PATIENCE_SECONDS * 1000,
        )

    async def until_live(self) -> None:
        """Wait until the connection is live and the state is known."""
        await self.until('state.connection === "live" && state.progress !== null')

    async def has_been(self, connection: str) -> bool:
        """Return whether the state's ``connection`` has been this."""
        has_been: bool = await self.page.evaluate(f"({HAS_BEEN})('{connection}')")
        return has_been

    async def until_any(self, *connections: str) -> None:
        """Wait until the state's ``connection`` has been one of these."""
        await self.page.wait_for_function(
            f"connections => ({HAS_BEEN})(...connections)",
            arg=list(connections),
            polling=_POLL_MS,
            timeout=PATIENCE_SECONDS * 1000,
        )

    async def outcome(self) -> Any:  # noqa: ANN401 - or an error
        """Wait until ``closed`` settles; return its value, or status and code of its error."""
        await self.page.wait_for_function(
            "watched.told.outcome !== undefined",
            polling=_POLL_MS,
            timeout=PATIENCE_SECONDS * 1000,
        )
        return await self.page.evaluate("watched.told.outcome")
