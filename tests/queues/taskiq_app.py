"""A project that uses taskiq, as its users write it."""

from contextlib import suppress
from typing import Any, Final

from taskiq import AsyncBroker, BrokerMessage, SimpleRetryMiddleware, TaskiqDepends
from taskiq.depends.progress_tracker import ProgressTracker
from taskiq.exceptions import SendTaskError
from taskiq_redis import ListQueueBroker

from jobcast.adapters.taskiq import JobcastMiddleware
from tests.queues import async_work
from tests.queues.async_work import JOBCAST_URL, SETTINGS, URL

_sent: Final[dict[str, BrokerMessage]] = {}


class Broker(ListQueueBroker):
    """Remembers what it has sent, so that it can be delivered once more."""

    async def kick(self, message: BrokerMessage) -> None:
        """Send a message, unless the test wants the broker to be unavailable."""
        if message.task_id.startswith("refused"):
            raise ConnectionError
        _sent[message.task_id] = message
        await super().kick(message)


broker: AsyncBroker = Broker(URL).with_middlewares(
    JobcastMiddleware(JOBCAST_URL, **SETTINGS),
    SimpleRetryMiddleware(default_retry_count=3),
)


class Tell:
    """Reports by taskiq's own tracker."""

    def __init__(self, tracker: ProgressTracker[Any] = TaskiqDepends()) -> None:
        self._tracker = tracker

    async def __call__(self, current: int, total: int, step: str) -> None:
        """Report."""
        await self._tracker.set_progress(step, {"current": current, "total": total})


@broker.task
async def report(key: str, pages: int, tell: Tell = TaskiqDepends()) -> dict[str, int]:
    return await async_work.report(tell, key, pages)


@broker.task
async def report_to_the_run() -> list[str | None]:
    child = await report.kiq("test:child", 1)
    return [await async_work.report_to_the_run(), child.task_id]


@broker.task
async def fail() -> None:
    await async_work.fail()


@broker.task(retry_on_error=True)
async def fail_once(key: str) -> str:
    return await async_work.fail_once(key)


@broker.task(retry_on_error=True)
async def work_on(tell: Tell = TaskiqDepends()) -> None:
    await async_work.work_on(tell)


@broker.task(retry_on_error=True)
async def say_nothing(key: str) -> str:
    return await async_work.say_nothing(key)


@broker.task
async def wait_for(key: str, tell: Tell = TaskiqDepends()) -> str:
    return await async_work.wait_for(tell, key)


@broker.task
async def return_what_json_lacks() -> object:
    return await async_work.return_what_json_lacks()


async def start() -> None:
    """Connect."""
    await broker.startup()


async def stop() -> None:
    """Disconnect."""
    await broker.shutdown()


async def enqueue(name: str, arguments: list[Any]) -> str:
    """Enqueue a task and return its id."""
    task = broker.find_task(f"{__name__}:{name}")
    assert task is not None
    return (await task.kiq(*arguments)).task_id


async def enqueue_in_vain(task_id: str, *arguments: object) -> None:
    """Enqueue a task that can't be sent: the broker refuses it, or JSON lacks its argument."""
    given = arguments or (object(),)
    with suppress(SendTaskError):
        await report.kicker().with_task_id(task_id).kiq(*given)  # type: ignore[call-overload]


async def enqueue_unknown() -> str:
    """Enqueue a task that the worker lacks, and return its id."""
    unknown = broker.register_task(async_work.fail, "unknown")
    return (await unknown.kiq()).task_id


async def deliver_again(task_id: str) -> None:
    """Deliver a task once more, as a queue does that believes its worker to be lost."""
    await broker.kick(_sent[task_id])
