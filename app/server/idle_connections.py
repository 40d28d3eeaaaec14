"""Hypercorn's wait for the end of a connection's idleness, begun only where there is some.

Hypercorn 0.18 has two tasks and a timer wait for it as a client connects, and ends them as the
request comes: mostly at once, and a quarter of what it costs when a viewer comes.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, cast

from hypercorn.asyncio import tcp_server
from hypercorn.asyncio.worker_context import AsyncioSingleTask

_PATIENCE_S: Final = 0.25
"""How long a connection may be idle before somebody waits for the end of that."""

Action = Callable[[], Coroutine[Any, Any, None]]


class LateTask(AsyncioSingleTask):
    """A task that begins when it was not stopped for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._timer: asyncio.TimerHandle | None = None

    async def restart(self, task_group: Any, action: Action) -> None:  # noqa: ANN401 - Hypercorn's
        """Have the task begin anew, some time after this."""
        await self.stop()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_PATIENCE_S, self._begin, task_group, action)

    async def stop(self) -> None:
        """End the task, or keep it from beginning."""
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
        except RuntimeError:  # the connection has ended meanwhile
            waiting.close()


def begin_idle_tasks_late() -> None:
    """Have Hypercorn's connections use ``LateTask``."""
    cast("Any", tcp_server).AsyncioSingleTask = LateTask
