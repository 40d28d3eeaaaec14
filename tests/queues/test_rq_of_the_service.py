"""Jobs that the service puts on a queue of RQ, run by a worker with the adapter."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
import rq.job
from redis import Redis
from rq import Queue, SimpleWorker

import jobcast.sync
from app.errors import BadRequest
from app.lifecycle import Service
from eventlog.errors import LogUnavailable, UnreadableJob
from jobcast.adapters.rq import Job, install
from jobcast.protocol.names import state_key
from schema.http import CreateJob
from schema.owner import Owner
from tests.contract.files import FOLDER
from tests.support.parts import parts
from tests.support.valkey import Valkey

ME = Owner(None, "session-1")
MODULE = "tests.queues.service_tasks"
TASKS = (f"report={MODULE}.report", f"broken={MODULE}.fail_once", f"count={MODULE}.count")
REPORT = CreateJob("report", {"pages": 3})


@pytest.fixture
def redis(server: Valkey) -> Iterator[Redis]:
    server.flush()
    with Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
async def service(server: Valkey, redis: Redis) -> AsyncIterator[Service]:
    async with parts(server.url, queue_kind="rq", queue="reports", queue_tasks=TASKS) as built:
        yield built


class CountingWorker(SimpleWorker):
    """Counts the tasks that it has run."""

    tasks_run = 0

    def execute_job(self, job: rq.job.Job, queue: Queue) -> None:
        self.tasks_run += 1
        super().execute_job(job, queue)


def work(server: Valkey, redis: Redis) -> int:
    """Have a worker of RQ run what is queued, and return how many tasks that were."""
    install(server.url)
    worker = CountingWorker([Queue("reports", connection=redis)], job_class=Job)
    try:
        worker.work(burst=True, logging_level="ERROR")
    finally:
        assert Job.jobcast is not None
        Job.jobcast.close()
        Job.jobcast = None
    return worker.tasks_run


async def test_a_task_of_rq_gets_the_input_and_its_result_is_the_jobs(
    service: Service, server: Valkey, redis: Redis
) -> None:
    job_id = await service.jobs.create(ME, REPORT, None)
    assert work(server, redis) == 1
    _, state = await service.jobs.owned(ME, job_id)
    assert (state.status, bytes(state.result)) == ("succeeded", b'{"pages":3}')


async def test_a_repeated_call_queues_one_task(
    service: Service, server: Valkey, redis: Redis
) -> None:
    queue = service.jobs._queue
    job_id = await service.jobs.create(ME, REPORT, "key")
    await queue.add(job_id, 1, "report")
    assert work(server, redis) == 1


async def test_a_task_that_is_delivered_again_after_its_end_is_not_run(
    service: Service, server: Valkey, redis: Redis
) -> None:
    job_id = await service.jobs.create(ME, CreateJob("count", {"key": "runs"}), None)
    work(server, redis)
    redis.rpush("rq:queue:reports", f"{job_id}-1")
    assert work(server, redis) == 1
    assert redis.get("runs") == b"1"


async def test_a_job_that_is_cancelled_leaves_the_queue_of_rq(
    service: Service, server: Valkey, redis: Redis
) -> None:
    job_id = await service.jobs.create(ME, REPORT, None)
    await service.jobs.cancel(job_id)
    assert work(server, redis) == 0


async def test_a_failed_task_of_rq_is_run_again(
    service: Service, server: Valkey, redis: Redis
) -> None:
    job_id = await service.jobs.create(ME, CreateJob("broken", {"key": "tried"}), None)
    work(server, redis)
    _, state = await service.jobs.owned(ME, job_id)
    assert (state.status, state.error_code) == ("failed", "ValueError")
    await service.jobs.retry(job_id, state)
    work(server, redis)
    _, state = await service.jobs.owned(ME, job_id)
    assert (state.status, state.attempt) == ("succeeded", 2)


async def test_a_type_without_a_task_is_refused_before_anything_is_written(
    service: Service, redis: Redis
) -> None:
    # Whoever may create jobs would otherwise call any function that the worker can import.
    with pytest.raises(BadRequest, match="type: must be one of broken, count, report"):
        await service.jobs.create(ME, CreateJob("os.system", {"command": "true"}), None)
    assert redis.keys() == []


async def test_a_retry_of_a_type_without_a_task_is_refused_as_the_contract_says(
    server: Valkey, service: Service
) -> None:
    with jobcast.sync.connect(server.url) as jobs:
        job_id = jobs.create("os.system", session_id=ME.session_id)
        jobs.cancel(job_id)
    _, state = await service.jobs.owned(ME, job_id)
    with pytest.raises(BadRequest, match="type: must be one of broken, count, report"):
        await service.jobs.retry(job_id, state)
    assert (await service.jobs.owned(ME, job_id))[1].status == "failed"
    calls = json.loads((FOLDER / "openapi.json").read_text())["paths"]
    refusals = calls["/api/v1/jobs/{jobId}/retry"]["post"]["responses"]["400"]
    assert f'"{BadRequest.code}"' in json.dumps(refusals)


@pytest.mark.parametrize("stored", ["[1]", "5", "no JSON", "[" * 5000, '"{}"', "\xff"])
async def test_a_retry_with_an_input_that_no_task_takes_is_refused_before_anything_is_written(
    service: Service, redis: Redis, stored: str
) -> None:
    job_id = await service.jobs.create(ME, REPORT, None)
    await service.jobs.cancel(job_id)
    redis.hset(state_key(job_id), "input", stored)
    _, state = await service.jobs.owned(ME, job_id)
    keys = sorted(redis.keys())
    for _ in range(2):
        with pytest.raises(UnreadableJob):
            await service.jobs.retry(job_id, state)
    assert (await service.jobs.owned(ME, job_id))[1] == state
    assert sorted(redis.keys()) == keys
    with pytest.raises(UnreadableJob):  # as when its input was replaced meanwhile
        await service.jobs._queue.add(job_id, 1, "report")


async def test_an_input_of_another_writer_is_read_as_the_library_reads_it(
    service: Service, server: Valkey, redis: Redis
) -> None:
    texts = {"null": None, '\ufeff{"pages":"\\ud83d"}': "\ufffd"}
    for text, pages in texts.items():
        job_id = await service.jobs.create(ME, REPORT, None)
        await service.jobs.cancel(job_id)
        redis.hset(state_key(job_id), "input", text)
        _, state = await service.jobs.owned(ME, job_id)
        await service.jobs.retry(job_id, state)
        work(server, redis)
        _, state = await service.jobs.owned(ME, job_id)
        if pages is None:  # the task wants an argument
            assert (state.status, state.error_code) == ("failed", "TypeError")
        else:
            assert json.loads(bytes(state.result)) == {"pages": pages}


async def test_a_queue_that_is_unavailable_is_an_outage(server: Valkey) -> None:
    away = "redis://127.0.0.1:1/0"
    async with parts(server.url, queue_kind="rq", queue_url=away, queue_tasks=TASKS) as built:
        with pytest.raises(LogUnavailable):
            await built.jobs.create(ME, REPORT, None)


UNREADABLE: dict[str, str | bytes] = {
    "status": "weird",
    "created_at": "x",
    "timeout": "abc",
    "result_ttl": "1.5",
    "dependency_ids": "{",
    "origin": b"\xff",
}


@pytest.mark.parametrize("field", UNREADABLE)
async def test_a_job_whose_task_is_unreadable_is_cancelled_and_leaves_the_queue(
    service: Service, redis: Redis, field: str
) -> None:
    job_id = await service.jobs.create(ME, REPORT, None)
    redis.hset(f"rq:job:{job_id}-1", field, UNREADABLE[field])
    await service.jobs.cancel(job_id)
    _, state = await service.jobs.owned(ME, job_id)
    assert (state.status, state.error) == ("failed", "Cancelled")
    assert redis.llen("rq:queue:reports") == 0


@pytest.mark.parametrize("field", UNREADABLE)
async def test_an_unreadable_task_does_not_keep_other_jobs_from_being_swept(
    service: Service, redis: Redis, field: str
) -> None:
    ids = [await service.jobs.create(ME, REPORT, None) for _ in range(2)]
    redis.hset(f"rq:job:{ids[0]}-1", field, UNREADABLE[field])
    redis.zadd("jobs:unconfirmed", dict.fromkeys(ids, 0))
    assert await service.sweeper.sweep(30) == len(ids)
    assert redis.exists("jobs:unconfirmed") == 0


async def test_a_queue_that_fails_at_one_job_does_not_keep_others_from_being_swept(
    service: Service, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted([await service.jobs.create(ME, REPORT, None) for _ in range(2)])
    queue = service.jobs._queue
    remove = queue.remove

    async def fail_once(job_id: str, attempt: int) -> None:
        if job_id == ids[0]:
            raise AssertionError
        await remove(job_id, attempt)

    monkeypatch.setattr(queue, "remove", fail_once)
    redis.zadd("jobs:unconfirmed", dict.fromkeys(ids, 0))
    assert await service.sweeper.sweep(30) == 1
    _, state = await service.jobs.owned(ME, ids[1])
    assert state.status == "failed"
