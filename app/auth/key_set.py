"""A key set at a URL: refreshed in the background, and kept while its server is unavailable."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from app.auth.keys import Keys, log_unreadable
from app.errors import ServiceUnavailable
from eventlog.backoff import jittered

_log = logging.getLogger("jobcast.keys")

REFRESH_S: Final = 300.0
WAIT_S: Final = 1.2
"""Time, from the start of a fetch, for which requests wait for it: callers are promised a response
within 2 s."""

COOL_DOWN_S: Final = 10.0
"""Minimum time between fetches for unknown keys, as anybody can send tokens that name such keys."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
_UNVERIFIABLE: Final = "Whether the token is good can't be told at the moment"


class KeySet:
    """The keys of the last successful fetch.

    Args:
        name: where they are fetched from, without secrets, for the log.
        fetch: returns the current keys, or raises any exception.

    Attributes:
        keys: the last set fetched, however old; None before the first.
        failures: number of failed fetches.
    """

    def __init__(self, name: str, fetch: Callable[[], Awaitable[Keys]]) -> None:
        self.keys: Keys | None = None
        self.failures = 0
        self._name = name
        self._fetch = fetch
        self._fetching: asyncio.Task[None] | None = None
        self._began_at = 0.0
        self._failures_in_a_row = 0
        self._not_before = 0.0
        self._asked_at: float | None = None

    @property
    def available(self) -> bool:
        """Whether the last fetch succeeded."""
        return self.keys is not None and not self._failures_in_a_row

    async def run(self) -> None:
        """Refresh the keys until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.wait({self._current_fetch()})
                pause_s = REFRESH_S * random.uniform(0.9, 1)  # noqa: S311 - jitter
                await asyncio.sleep(
                    pause_s if self.available else max(0.0, self._not_before - loop.time())
                )
        finally:
            if self._fetching is not None:
                self._fetching.cancel()

    async def refresh(self) -> bool:
        """Fetch newer keys for a token that none of the current ones verifies.

        Concurrent callers share one fetch.

        Returns:
            False if the last such fetch was less than ``COOL_DOWN_S`` ago: the token is invalid.

        Raises:
            ServiceUnavailable: the fetch failed or takes too long.
        """
        now = asyncio.get_running_loop().time()
        if self._fetching is None:
            if self.available:
                if self._asked_at is not None and now < self._asked_at + COOL_DOWN_S:
                    return False
                self._asked_at = now
            elif now < self._not_before:
                raise ServiceUnavailable(_UNVERIFIABLE)
        fetch = self._current_fetch()
        # From the start of the fetch, so that later callers don't wait as long again.
        left_s = max(0.0, self._began_at + WAIT_S - now)
        done, _ = await asyncio.wait({fetch}, timeout=left_s)
        if not done or not self.available:
            raise ServiceUnavailable(_UNVERIFIABLE)
        return True

    def _current_fetch(self) -> asyncio.Task[None]:
        """Return the running fetch, or start one."""
        if self._fetching is None:
            loop = asyncio.get_running_loop()
            self._began_at = loop.time()
            self._fetching = loop.create_task(self._fetch_once())
        return self._fetching

    async def _fetch_once(self) -> None:
        try:
            keys = await self._fetch()
        except Exception as error:  # noqa: BLE001 - any error makes the set unavailable
            self._fail(error)
        else:
            self._succeed(keys)
        finally:
            self._fetching = None

    def _succeed(self, keys: Keys) -> None:
        if self._failures_in_a_row:
            _log.warning("the key set %s is available again", self._name)
        self._failures_in_a_row = 0
        if self.keys is not None and self.keys.digest == keys.digest:
            return
        self.keys = keys
        log_unreadable(self._name, keys)

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        if not self._failures_in_a_row:
            _log.warning(
                "the key set %s is unavailable (%s): %s",
                self._name,
                str(error) or type(error).__name__,
                "no token of its keys can be verified"
                if self.keys is None
                else "tokens of the known keys are still verified",
            )
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(self._failures_in_a_row, 10))
        self._failures_in_a_row += 1
        loop = asyncio.get_running_loop()
        self._not_before = loop.time() + jittered(pause_s)
