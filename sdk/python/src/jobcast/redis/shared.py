"""Work that runs once for all concurrent callers."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from redis.exceptions import ConnectionError as RedisConnectionError

T = TypeVar("T")


class Shared(Generic[T]):
    """Runs a coroutine once for all concurrent callers, who get the same result or error.

    Cancelling one caller does not cancel it for the others.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> asyncio.Task[T]:
        """Start the coroutine, unless it is running in this event loop."""
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._task = asyncio.create_task(self._work())
            self._task.add_done_callback(self._forget)
            return self._task
        return task

    async def result(self) -> T:
        """Start the coroutine, unless it is running; return its result or raise its error."""
        task = self.begin()
        try:
            await asyncio.wait({task})
            if task.cancelled():
                raise RedisConnectionError("Connection closed.")
            return task.result()
        finally:
            del task  # its error's traceback holds this frame: a reference cycle

    async def cancel(self) -> None:
        """Cancel the coroutine; its callers get a ``ConnectionError``."""
        task = self._task
        if task is None or task.done():
            return
        if task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait({task})

    def _forget(self, task: asyncio.Task[T]) -> None:
        if self._task is task:
            self._task = None
        if not task.cancelled():
            task.exception()  # retrieved: perhaps all callers were cancelled
