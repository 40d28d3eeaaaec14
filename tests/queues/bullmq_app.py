"""A project that uses BullMQ, as its users write it."""

import asyncio
import signal
from typing import Any, Final

from bullmq import Job, Queue, Worker

from jobcast.adapters.bullmq import follow, followed
from tests.queues import async_work
from tests.queues.async_work import JOBCAST_URL, SETTINGS, URL, Tell

_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    name: {"attempts": 3, "backoff": {"type": "fixed", "delay": 20}}
    for name in ("fail_once", "work_on", "say_nothing")
}
_OFTEN: Final = 100

NAME: Final = "reports"
queues: list[Queue] = []


def _queue() -> Queue:
    if not queues:
        queues.append(follow(Queue(NAME, {"connection": URL}), JOBCAST_URL, **SETTINGS))
    return queues[0]


def _tell(job: Job) -> Tell:
    async def tell(current: int, total: int, step: str) -> None:
        await job.updateProgress({"progress": 100 * current / total, "step": step})

    return tell


async def _report_to_the_run() -> list[str | None]:
    return [await async_work.report_to_the_run(), await enqueue("report", ["test:child", 1])]


async def process(job: Job, token: str) -> Any:  # noqa: PLR0911 - a return for each name
    del token
    arguments, tell = job.data["arguments"], _tell(job)
    match job.name:
        case "report":
            return await async_work.report(tell, *arguments)
        case "report_to_the_run":
            return await _report_to_the_run()
        case "fail":
            return await async_work.fail()
        case "fail_once":
            return await async_work.fail_once(*arguments)
        case "work_on":
            return await async_work.work_on(tell)
        case "wait_for":
            return await async_work.wait_for(tell, *arguments)
    return await async_work.say_nothing(*arguments)


async def start() -> None:
    """Connect."""
    _queue()


async def stop() -> None:
    """Disconnect."""
    await _queue().close()


async def enqueue(name: str, arguments: list[Any]) -> str:
    """Add an entry and return its id."""
    job = await _queue().add(name, {"arguments": arguments}, _OPTIONS.get(name, {}))
    return str(job.id)


async def _stalls(queue: Queue, job_id: str) -> int:
    """Return how often BullMQ has taken the worker of an entry for lost."""
    return int(await queue.client.hget(queue.toKey(job_id), "stc") or 0)


async def deliver_again(job_id: str) -> None:
    """Deliver an entry once more: by hand, or by BullMQ's own check if its worker seems lost."""
    queue = _queue()
    job = await Job.fromId(queue, job_id)
    assert job is not None
    before = await _stalls(queue, job_id)
    while (state := await job.getState()) == "active" and await _stalls(queue, job_id) == before:
        await queue.client.delete(f"{queue.toKey(job_id)}:lock", queue.toKey("stalled-check"))
        await queue.backend.moveStalledJobsToWait(_OFTEN, 1)
    if state in {"completed", "failed"}:
        await job.retry(state)


async def main() -> None:
    """Work."""
    options = {"connection": URL, "concurrency": 5, "maxStalledCount": _OFTEN}
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    worker = Worker(NAME, followed(JOBCAST_URL, process, **SETTINGS), options)
    await ended.wait()
    await worker.close(force=True)


if __name__ == "__main__":
    asyncio.run(main())
