"""Hypercorn's idle timeout, started only for connections that are idle.

Hypercorn 0.18 starts two tasks and a timer when a client connects, and cancels them when a request
arrives, usually at once. That takes 25 % of the CPU of a connect.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from hypercorn.asyncio import tcp_server
from hypercorn.asyncio.worker_context import AsyncioSingleTask

_PATIENCE_S: Final = 0.25
"""Time for which a connection must be idle before its timeout task starts."""

Action = Callable[[], Coroutine[Any, Any, None]]


class LateTask(AsyncioSingleTask):
    """A task that starts after a delay unless it is stopped meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None

    async def restart(self, task_group: Any, action: Action) -> None:  # noqa: ANN401 - Hypercorn's
        """Stop the task, and schedule it again."""
        await self.stop()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PATIENCE_S, self._begin, task_group, action)

    async def stop(self) -> None:
        """Cancel the task, or its scheduled start."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._handle is not None:
            await super().stop()

    def _begin(self, task_group: Any, action: Action) -> None:  # noqa: ANN401 - Hypercorn's
        self._timer = None
        waiting = action()
        try:
            self._handle = task_group._task_group.create_task(waiting)  # noqa: SLF001 - as it does
        except RuntimeError:  # the connection has ended
            waiting.close()


def begin_idle_tasks_late() -> None:
    """Make Hypercorn use ``LateTask``."""
    cast("Any", tcp_server).AsyncioSingleTask = LateTask
