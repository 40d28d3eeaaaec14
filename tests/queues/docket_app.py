"""A project that uses Docket, as its users write it."""

from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from docket import CurrentDocket, Docket, Progress, Retry

from jobcast.adapters.docket import Jobcast, followed
from tests.queues import async_work
from tests.queues.async_work import JOBCAST_URL, SETTINGS, URL, Tell

_added: Final[dict[str, tuple[str, list[Any]]]] = {}
_stack: Final = AsyncExitStack()
_dockets: Final[list[Docket]] = []

dependencies = [Jobcast(JOBCAST_URL, **SETTINGS)]


def _tell(progress: Any) -> Tell:
    async def tell(current: int, total: int, step: str) -> None:
        await progress.set_message(step)
        await progress.set_total(total)
        while (progress.current or 0) < current:
            await progress.increment()

    return tell


async def report(key: str, pages: int, progress: Any = Progress()) -> dict[str, int]:
    return await async_work.report(_tell(progress), key, pages)


async def report_to_the_run(docket: Docket = CurrentDocket()) -> list[str | None]:
    child = await docket.add(report)("test:child", 1)
    return [await async_work.report_to_the_run(), child.key]


async def fail() -> None:
    await async_work.fail()


async def fail_once(key: str, retry: Retry = Retry(attempts=3)) -> str:
    return await async_work.fail_once(key)


async def work_on(progress: Any = Progress(), retry: Retry = Retry(attempts=3)) -> None:
    await async_work.work_on(_tell(progress))


async def say_nothing(key: str, retry: Retry = Retry(attempts=3)) -> str:
    return await async_work.say_nothing(key)


async def wait_for(key: str, progress: Any = Progress()) -> str:
    return await async_work.wait_for(_tell(progress), key)


async def return_what_json_lacks() -> object:
    return await async_work.return_what_json_lacks()


tasks = [
    *(report, report_to_the_run, fail, fail_once, work_on, say_nothing, wait_for),
    return_what_json_lacks,
]


async def start() -> None:
    """Connect."""
    for _ in range(2):
        docket = await _stack.enter_async_context(Docket(url=URL))
        docket.register_collection(f"{__name__}:tasks")
        _dockets.append(docket)
    await _stack.enter_async_context(followed(_dockets[1], JOBCAST_URL, **SETTINGS))


async def stop() -> None:
    """Disconnect."""
    await _stack.aclose()


async def enqueue(name: str, arguments: list[Any]) -> str:
    """Add a task and return its key."""
    execution = await _dockets[1].add(name)(*arguments)
    _added[execution.key] = name, arguments
    return execution.key


async def unknown() -> None:
    """Be a task that the worker lacks."""


async def enqueue_unknown() -> str:
    """Add a task that the worker lacks, and return its key."""
    return (await _dockets[1].add(unknown)()).key


async def deliver_again(key: str) -> None:
    """Deliver a task once more, as a queue does that believes its worker to be lost."""
    docket = _dockets[0]
    async with docket.redis() as redis:
        for _, message in await redis.xrange(docket.stream_key):
            if message[b"key"] == key.encode():
                fields: Any = message
                await redis.xadd(docket.stream_key, fields)
                return
    name, arguments = _added[key]
    await docket.replace(name, datetime.now(UTC), key)(*arguments)


async def abort(key: str) -> None:
    """Cancel a task."""
    await _dockets[0].cancel(key)


async def abort_before(name: str, arguments: list[Any]) -> str:
    """Cancel a task that no worker has begun, and return its key."""
    docket = _dockets[1]
    execution = await docket.add(name, datetime.now(UTC) + timedelta(seconds=100))(*arguments)
    await docket.cancel(execution.key)
    return execution.key
