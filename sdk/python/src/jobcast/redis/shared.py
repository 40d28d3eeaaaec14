"""Work that many wait for and that is done once."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError

T = TypeVar("T")


class Shared(Generic[T]):
    """Runs a coroutine once for all who wait for it at the same time; they share its error, too.

    A caller that is cancelled does not end it for the others.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> asyncio.Task[T]:
        """Start it, unless it runs already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(self._forget)
        return self._task

    async def result(self) -> T:
        """Return its result, or raise its error."""
        task = self.begin()
        try:
            await asyncio.wait({task})
            if task.cancelled():
                raise RedisConnectionError("Connection closed.")
            return task.result()
        finally:
            del task  # an error in it holds this frame, which would hold the error

    async def cancel(self) -> None:
        """End it; who waits for it gets a ``ConnectionError``."""
        task = self._task
        if task is not None and not task.done() and task.get_loop().is_running():
            task.cancel()
            await asyncio.wait({task})

    def _forget(self, task: asyncio.Task[T]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # it may have failed after everybody stopped waiting
