"""What is BullMQ's own: its entries, its signal, and the entries of others.

What it has in common with the other queues of asyncio is in ``test_async_queues.py``.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from bullmq import Job, Queue, Worker
from bullmq.abort_controller import AbortSignal
from bullmq.custom_errors import DelayedError
from redis import Redis

import jobcast
from jobcast.adapters._task import Settings
from jobcast.adapters.bullmq import follow, followed, owned_by
from tests.queues.log import CANCELLED, Log
from tests.support.valkey import Valkey
from tests.support.waiting import until

SETTINGS: Settings = {"lease_s": 1.0, "block_s": 60.0, "enqueue_s": 60.0}
OWNED = owned_by(user_id="7")
QUICKLY = {"drainDelay": 1}

Process = Callable[..., Awaitable[Any]]


@pytest.fixture
def redis(server: Valkey) -> Iterator[Redis]:
    with server.client() as client:
        yield client


def name_of(key: object) -> str:
    """Return the id of the job whose state is at a key."""
    return str(key).split(":")[1].strip("{}")


class World:
    """A queue of one test, and its workers."""

    def __init__(self, server: Valkey) -> None:
        self._url = server.url
        self._name = f"queue-{uuid4()}"
        self._ended = AsyncExitStack()
        self.queue = self.followed_queue()

    def plain_queue(self) -> Queue:
        """Return the queue as a program has it that knows nothing of Jobcast."""
        queue = Queue(self._name, {"connection": self._url})
        self._ended.push_async_callback(queue.close)
        return queue

    def followed_queue(self) -> Queue:
        """Return the queue with what is added to it followed."""
        queue = follow(Queue(self._name, {"connection": self._url}), self._url, **SETTINGS)
        self._ended.push_async_callback(queue.close)
        return queue

    def work(self, process: Process, *, is_followed: bool = True) -> None:
        """Start a worker."""
        processor = followed(self._url, process, **SETTINGS) if is_followed else process
        worker = Worker(self._name, processor, {"connection": self._url, **QUICKLY})

        async def close() -> None:
            await worker.close(force=True)

        self._ended.push_async_callback(close)

    async def ended(self, job: Job) -> tuple[str, Job]:
        """Wait until BullMQ is done with an entry; return its state, and what BullMQ knows."""
        state = ""
        while state not in {"completed", "failed"}:
            await asyncio.sleep(0)
            state = await job.getState()
        known = await Job.fromId(self.queue, job.id)
        assert known is not None
        return state, known

    async def aclose(self) -> None:
        """Stop it all."""
        await self._ended.aclose()


@pytest.fixture
async def world(server: Valkey) -> AsyncIterator[World]:
    made = World(server)
    yield made
    await made.aclose()


async def test_a_number_is_a_percentage_and_bullmq_has_it_too(world: World, log: Log) -> None:
    async def process(job: Job, token: str) -> str:
        del token
        await job.updateProgress(50.5)
        return "done"

    world.work(process)
    job = await world.queue.add("report", {"pages": 1}, {"removeOnComplete": False, **OWNED})
    await log.ended(job.id)
    assert log.progress(job.id)[0] == 50
    state, known = await world.ended(job)
    assert (state, known.progress, known.returnvalue) == ("completed", 50.5, "done")


async def test_a_worker_that_does_not_follow_ignores_the_ticket(world: World, log: Log) -> None:
    async def process(job: Job, token: str) -> object:
        del token
        return job.data

    world.work(process, is_followed=False)
    job = await world.queue.add("report", {"pages": 1}, OWNED)
    state, known = await world.ended(job)
    assert (state, known.returnvalue) == ("completed", {"pages": 1})
    assert log.names(job.id) == ["_created"]


async def test_what_was_cancelled_before_it_begins_fails_for_good(
    world: World, log: Log, jobs: jobcast.Jobs
) -> None:
    begun = []

    async def process(job: Job, token: str) -> None:
        del token
        begun.append(job.id)

    job = await world.queue.add("report", {}, {"attempts": 3, **OWNED})
    await jobs.cancel(job.id)
    world.work(process)
    state, known = await world.ended(job)
    assert (state, known.failedReason, begun) == ("failed", "Cancelled", [])
    assert log.events(job.id)[-1] == CANCELLED


async def test_what_is_cancelled_while_it_runs_is_not_tried_again(
    world: World, log: Log, jobs: jobcast.Jobs
) -> None:
    async def process(job: Job, token: str) -> None:
        del token
        await job.updateProgress(10)
        await asyncio.Event().wait()

    world.work(process)
    job = await world.queue.add("report", {}, {"attempts": 3, **OWNED})
    await log.until(job.id, lambda state: state.get("progress") == "10")
    await jobs.cancel(job.id)
    state, known = await world.ended(job)
    assert (state, known.failedReason, known.attemptsMade) == ("failed", "Cancelled", 1)
    assert log.events(job.id)[-1] == CANCELLED


async def test_a_processor_with_a_signal_is_told_to_stop(
    world: World, log: Log, jobs: jobcast.Jobs
) -> None:
    told = []

    async def process(job: Job, token: str, signal: AbortSignal) -> None:
        del token
        await job.updateProgress(10)
        await signal.wait()
        told.append(signal.reason)
        signal.throw_if_aborted()

    world.work(process)
    job = await world.queue.add("report", {}, {"attempts": 3, **OWNED})
    await log.until(job.id, lambda state: state.get("progress") == "10")
    await jobs.cancel(job.id)
    assert (await world.ended(job))[0] == "failed"
    assert told == ["Cancelled"]
    assert log.events(job.id)[-1] == CANCELLED


async def test_an_attempt_says_when_bullmq_tries_again(world: World, log: Log) -> None:
    async def process(job: Job, token: str) -> None:
        del token
        if job.attemptsMade == 0:
            raise OSError("no route")
        raise ValueError("no such page")

    world.work(process)
    backoff = {"type": "fixed", "delay": 20}
    job = await world.queue.add("report", {}, {"attempts": 2, "backoff": backoff, **OWNED})
    await world.ended(job)
    failures = [data for name, data in log.events(job.id) if name == "failed"]
    first = {"error": "no route", "errorCode": "OSError", "willRetry": True}
    assert failures == [
        {**first, "retryInSeconds": 0.02},
        {"error": "no such page", "errorCode": "ValueError"},
    ]


async def test_what_a_processor_puts_back_is_queued_for_the_next_attempt(
    world: World, log: Log
) -> None:
    async def process(job: Job, token: str) -> None:
        if job.attemptsStarted == 1:
            await job.moveToDelayed(0, token)
            raise DelayedError

    world.work(process)
    job = await world.queue.add("report", {}, OWNED)
    await log.until(job.id, lambda state: state.get("status") == "succeeded")
    assert log.state(job.id)["attempt"] == "2"


async def test_what_is_removed_before_it_begins_is_cancelled(world: World, log: Log) -> None:
    job = await world.queue.add("report", {}, OWNED)
    await job.remove()
    assert log.events(job.id)[-1] == CANCELLED


async def test_an_id_that_is_taken_is_one_job(world: World, log: Log) -> None:
    options = {"jobId": str(uuid4()), **OWNED}
    first, again = [await world.queue.add("report", {}, dict(options)) for _ in range(2)]
    assert first.id == again.id
    assert log.names(first.id) == ["_created"]


async def test_what_bullmq_takes_for_a_duplicate_is_cancelled(
    world: World, log: Log, server: Valkey
) -> None:
    options = {"deduplication": {"id": "once"}, **OWNED}
    with server.client() as client:
        before = set(client.scan_iter("*:state"))
        first, again = [await world.queue.add("report", {}, dict(options)) for _ in range(2)]
        added = set(client.scan_iter("*:state")) - before
    assert first.id == again.id
    (other,) = {name_of(key) for key in added} - {first.id}
    assert log.names(first.id) == ["_created"]
    assert log.events(other)[-1] == CANCELLED


async def test_entries_that_are_added_together_are_followed(world: World, log: Log) -> None:
    async def process(job: Job, token: str) -> object:
        del token
        return job.data

    world.work(process)
    entry = {"name": "report", "data": {"pages": 1}}
    with jobcast.owner(user_id="8"):
        added = await world.queue.addBulk([dict(entry), dict(entry)])
    ends = [await log.ended(job.id) for job in added]
    assert [end["userId"] for end in ends] == ["8", "8"]
    assert [end["result"] for end in ends] == ['{"pages":1}'] * 2


async def test_a_job_that_another_program_has_created_is_followed(
    world: World, log: Log, jobs: jobcast.Jobs
) -> None:
    async def process(job: Job, token: str) -> object:
        del token
        return job.data

    world.work(process)
    job_id = await jobs.create("report", user_id="7")
    await world.plain_queue().add("report", {"pages": 1}, {"jobId": job_id})
    assert (await log.ended(job_id))["result"] == '{"pages":1}'


async def test_an_entry_of_the_service_has_the_input_of_its_job(
    world: World, log: Log, jobs: jobcast.Jobs
) -> None:
    begun = []

    async def process(job: Job, token: str) -> object:
        del token
        begun.append(job.data)
        return job.name

    job_id = await jobs.create("report", user_id="7", input={"pages": 3})
    queue = world.plain_queue()
    kept = {"removeOnComplete": False}
    world.work(process)
    await queue.add("report", {"jobId": job_id, "attempt": 1}, kept)
    assert (await log.ended(job_id))["result"] == '"report"'
    late = await queue.add("report", {"jobId": job_id, "attempt": 1}, kept)
    assert (await world.ended(late))[0] == "completed"
    assert begun == [{"pages": 3}]
    assert log.names(job_id).count("complete") == 1


async def test_an_entry_of_nobody_s_job_is_processed(world: World, log: Log) -> None:
    done = []

    async def process(job: Job, token: str) -> None:
        del token
        await job.updateProgress({"progress": 10})
        done.append(job.id)

    world.work(process)
    job = await world.plain_queue().add("report", {}, {"jobId": str(uuid4())})
    await until(lambda: bool(done))
    assert log.state(job.id) == {}
