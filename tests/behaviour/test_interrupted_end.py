"""A run whose block has ended ends its job, even if it is interrupted while it does so."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast.sync
import jobcast.testing
from jobcast import Run
from jobcast.adapters import _asyncio, _blocking
from jobcast.protocol.append import Answer, Append
from jobcast.sync import Run as BlockingRun
from tests.support.stores import InRedis, Store
from tests.support.valkey import Valkey

ENDINGS = {"complete": ("succeeded", "3", None), "fail": ("failed", None, "No paper")}
"""Operations that end a job, with its status, result and error then."""


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


class Hanging:
    """Stands in front of the ``append`` of a connection; the first one of a kind hangs."""

    def __init__(self, append: Callable[..., Awaitable[Answer]], operation: str) -> None:
        self._append = append
        self._operation = operation
        self.began = asyncio.Event()

    async def __call__(self, job_id: str, event: Append, *rest: Any) -> Answer:  # noqa: ANN401
        if event.operation == self._operation and not self.began.is_set():
            self.began.set()
            await asyncio.Event().wait()
        return await self._append(job_id, event, *rest)


class Interrupted:
    """Stands in front of the ``append`` of a blocking connection; the first of a kind is hit."""

    def __init__(
        self, append: Callable[..., Answer], operation: str, interruption: BaseException
    ) -> None:
        self._append = append
        self._operation = operation
        self._interruption = interruption
        self._is_over = False

    def __call__(self, job_id: str, event: Append, *rest: Any) -> Answer:  # noqa: ANN401
        if event.operation == self._operation and not self._is_over:
            self._is_over = True
            raise self._interruption
        return self._append(job_id, event, *rest)


async def block(run: Run, ending: str) -> None:
    async with run:
        await run.progress(20)
        run.result = 3
        if ending == "fail":
            raise ValueError("No paper")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("place", ["progress", "end"])
async def test_a_task_that_is_cancelled_while_its_block_ends_ends_the_job_as_the_block_did(
    store: Store, monkeypatch: pytest.MonkeyPatch, ending: str, place: str
) -> None:
    async with store.connect(progress_per_s=1) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        run = jobs.run("j1")
        connection = run._sender._connection
        hanging = Hanging(connection.append, ending if place == "end" else "progress")
        monkeypatch.setattr(connection, "append", hanging)
        run._pace.record_sent()  # so that progress waits for the end
        task = asyncio.create_task(block(run, ending))
        await hanging.began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (await store.ending())[:3] == ENDINGS[ending]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_a_thread_that_is_interrupted_while_its_block_ends_ends_the_job_as_the_block_did(
    monkeypatch: pytest.MonkeyPatch, ending: str, interruption: BaseException
) -> None:
    memory = jobcast.testing.Memory()
    with memory.connect_sync() as jobs:
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        connection = run._sender._connection
        interrupted = Interrupted(connection.append, ending, interruption)
        monkeypatch.setattr(connection, "append", interrupted)
        with pytest.raises(type(interruption)):
            blocking_block(run, ending)
    state = memory.state("j1")
    assert tuple(map(state.get, ("status", "result", "error"))) == ENDINGS[ending]


def blocking_block(run: BlockingRun, ending: str) -> None:
    with run:
        run.result = 3
        if ending == "fail":
            raise ValueError("No paper")


async def test_a_queue_s_task_that_is_cancelled_while_it_completes_its_job_completes_it(
    redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = _asyncio.Tasks(redis_url)
    with jobcast.owner(user_id="u1"):
        ticket = await tasks.enqueued("j1", "work")
    task = await tasks.begin(ticket)
    hanging = Hanging(tasks._connection.append, "complete")
    monkeypatch.setattr(tasks._connection, "append", hanging)
    completing = asyncio.create_task(task.complete(3))
    await hanging.began.wait()
    completing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await completing
    await tasks.aclose()
    assert (await InRedis(redis_url, redis_client).ending())[:3] == ENDINGS["complete"]


class LateError(Exception):
    """What a queue raises in a thread whose task takes too long."""


async def test_a_queue_s_task_that_is_late_while_it_completes_its_job_completes_it(
    redis_url: str, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = _blocking.Tasks(redis_url)
    with jobcast.owner(user_id="u1"):
        ticket = tasks.enqueued("j1", "work")
    task = tasks.begin(ticket)
    interrupted = Interrupted(tasks._connection.append, "complete", LateError())
    monkeypatch.setattr(tasks._connection, "append", interrupted)
    task.complete(3)
    tasks.close()
    assert (await InRedis(redis_url, redis_client).ending())[:3] == ENDINGS["complete"]


async def test_a_queue_s_time_limit_is_raised_in_whatever_the_task_calls(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = _blocking.Tasks(redis_url, time_limits=(LateError,))
    with jobcast.owner(user_id="u1"):
        ticket = tasks.enqueued("j1", "work")
    task = tasks.begin(ticket)

    def late(*_: object, **__: object) -> None:
        raise LateError

    monkeypatch.setattr(tasks._connection, "append", late)
    monkeypatch.setattr(tasks._creating._connection, "append", late)
    calls: list[Callable[[], object]] = [
        lambda: task.report({"progress": 50}),
        lambda: tasks.enqueued("j2", "work"),
        lambda: tasks.begin(ticket),
    ]
    for call in calls:
        with pytest.raises(LateError):
            call()
    task.complete(None)  # a task that has ended is not late
    tasks.close()


async def test_jobs_whose_closing_is_cancelled_are_closed(own_valkey: Valkey) -> None:
    jobs = jobcast.connect(own_valkey.url, block_s=0.2, progress_per_s=None)
    run = jobs.run(await jobs.create("report", user_id="u1"))
    await run.start()
    own_valkey.pause()
    assert not await run.emit("note", {})  # is in the buffer
    jobs._senders.limits = jobs._senders.limits._replace(block_s=None)
    closing = asyncio.create_task(jobs.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert run._sender.is_idle
    assert not jobs._leases._kept
    assert jobs._connection.closings == 1


def test_blocking_jobs_whose_closing_is_interrupted_are_closed(
    own_valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobcast.sync.connect(own_valkey.url, block_s=0.2, progress_per_s=None)
    run = jobs.run(jobs.create("report", user_id="u1"))
    run.start()
    own_valkey.pause()
    assert not run.emit("note", {})  # is in the buffer

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run._sender, "until_idle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        jobs.close()
    assert run._sender.unsent() == []
    assert jobs._connection.closings == 1
