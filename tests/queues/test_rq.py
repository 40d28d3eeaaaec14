"""RQ: its own workers, its own ways to report, retry, stop and fail, as jobs of Jobcast."""

import json
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from redis import Redis, SSLConnection
from rq import Retry, SimpleWorker
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError

import jobcast
import jobcast.sync
from jobcast.adapters._blocking import Tasks
from jobcast.adapters.rq import Job, Queue, install, owned_by, url_of
from tests.queues import rq_tasks
from tests.queues.apps import new_key
from tests.queues.log import CANCELLED, Log
from tests.support.queue_worker import QueueWorker
from tests.support.valkey import Valkey
from tests.support.waiting import until

READY = "Listening on"
UNSENT = "rq:jobcast:unsent"
MALFORMED = [
    "no JSON",
    "[]",
    '{"events":[[1,{}]]}',
    json.dumps(
        {
            "job_id": 5,
            "attempt": [],
            "run": {},
            "is_retried": 0,
            "events": [[1, {"operation": 7, "fields": 3, "cleared": [4]}]],
        }
    ),
]
AWAY = "redis://127.0.0.1:1/0"


def rq_worker(server: Valkey, *options: str) -> QueueWorker:
    arguments = ("--url", server.url, "--job-class", "tests.queues.rq_app.Job", *options)
    return QueueWorker("rq.cli", "worker", *arguments, ready=READY, REDIS_URL=server.url)


@pytest.fixture(scope="module")
def worker(server: Valkey) -> Iterator[QueueWorker]:
    with rq_worker(server, "--with-scheduler", "default") as running:
        yield running


@pytest.fixture
def queue(server: Valkey, redis: Redis) -> Iterator[Queue]:
    install(server.url, lease_s=1.0)
    yield Queue(connection=redis)
    assert Job.jobcast is not None
    Job.jobcast.close()
    Job.jobcast = None


@pytest.mark.usefixtures("worker", "owner")
async def test_a_task_reports_in_its_own_way(queue: Queue, log: Log) -> None:
    job = queue.enqueue(rq_tasks.report, 4)
    state = await log.ended(job.id)
    assert (state["status"], state["result"]) == ("succeeded", '{"pages":4}')
    assert (state["userId"], state["type"]) == ("7", "tests.queues.rq_tasks.report")
    assert log.progress(job.id)[-1] == 100
    assert log.events(job.id)[-2][1]["phase"] == "reading"


@pytest.mark.usefixtures("worker", "owner")
async def test_a_task_reports_to_its_run_and_enqueues_for_its_owner(
    queue: Queue, log: Log, redis: Redis
) -> None:
    state = await log.ended(queue.enqueue(rq_tasks.report_to_the_run).id)
    assert state["status"] == "succeeded"
    child = log.state(state["result"].strip('"'))
    assert (child["userId"], child["status"]) == ("7", "queued")
    Queue("children", connection=redis).empty()


@pytest.mark.usefixtures("worker")
async def test_a_task_that_nobody_owns_runs(
    queue: Queue, redis: Redis, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    job = queue.enqueue(rq_tasks.report, 2)
    await until(lambda: job.get_status() == "finished")
    assert log.state(job.id) == {}
    assert job.get_meta() == {"progress": 100, "phase": "reading"}
    assert "it has no owner" in caplog.text


@pytest.mark.usefixtures("worker")
async def test_an_owner_may_be_an_argument(queue: Queue, log: Log) -> None:
    job = queue.enqueue(rq_tasks.report, 1, meta={**owned_by(session_id="s1"), "kept": True})
    assert (await log.ended(job.id))["sessionId"] == "s1"
    assert job.get_meta()["kept"]


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("delay", [None, timedelta(seconds=1)], ids=["at once", "later"])
def test_a_job_that_can_t_be_sent_is_cancelled(
    queue: Queue, log: Log, delay: timedelta | None
) -> None:
    job_id = str(uuid4())
    enqueue = queue.enqueue if delay is None else partial(queue.enqueue_in, delay)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        enqueue(rq_tasks.report, lambda: 1, job_id=job_id)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("owner")
def test_jobs_that_can_t_be_sent_together_are_cancelled(queue: Queue, log: Log) -> None:
    ids = [str(uuid4()), str(uuid4())]
    jobs = [
        Queue.prepare_data(rq_tasks.report, (1,), job_id=ids[0]),
        Queue.prepare_data(rq_tasks.report, (lambda: 1,), job_id=ids[1]),
    ]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        queue.enqueue_many(jobs)
    assert "queued" not in {log.state(each).get("status") for each in ids}
    assert log.events(ids[0])[-1] == CANCELLED


@pytest.mark.usefixtures("owner")
def test_a_duplicate_that_rq_refuses_leaves_no_job_that_waits(
    queue: Queue, log: Log, redis: Redis
) -> None:
    before = set(redis.keys("jobs:{*}:state"))
    other = Queue("others", connection=queue.connection)
    job_id = other.enqueue(rq_tasks.report, 1, unique=True, job_id=str(uuid4())).id
    with pytest.raises(DuplicateJobError):
        other.enqueue(rq_tasks.report, 1, unique=True, job_id=job_id)
    states = {redis.hget(key, "status") for key in set(redis.keys("jobs:{*}:state")) - before}
    assert states == {b"queued", b"failed"}
    assert log.state(job_id)["status"] == "queued"


@pytest.mark.usefixtures("worker", "owner")
async def test_a_failure_has_a_code(queue: Queue, log: Log) -> None:
    job = queue.enqueue(rq_tasks.fail)
    await log.ended(job.id)
    failure = {"error": "no such page", "errorCode": "ValueError"}
    assert log.events(job.id)[-1] == ("failed", failure)


@pytest.mark.usefixtures("worker", "owner")
@pytest.mark.parametrize("interval", [0, 1])
async def test_a_retry_is_an_attempt(queue: Queue, log: Log, interval: int) -> None:
    job = queue.enqueue(rq_tasks.fail_once, retry=Retry(max=1, interval=interval))
    await log.until(job.id, lambda state: state.get("status") == "succeeded")
    assert log.state(job.id)["attempt"] == "2"
    assert tuple(log.names(job.id)[2:4]) == ("failed", "_retried")
    assert log.events(job.id)[2][1]["retryInSeconds"] == interval


@pytest.mark.usefixtures("worker", "owner")
async def test_a_retry_that_is_returned_is_an_attempt(queue: Queue, log: Log) -> None:
    job = queue.enqueue(rq_tasks.ask_for_a_retry)
    await log.until(job.id, lambda state: state.get("status") == "succeeded")
    assert (log.state(job.id)["attempt"], log.state(job.id)["result"]) == ("2", '"done"')


@pytest.mark.usefixtures("worker", "owner")
async def test_what_its_owner_cancels_stops_at_its_next_report(
    queue: Queue, log: Log, cancel: Callable[[str], None]
) -> None:
    job = queue.enqueue(rq_tasks.work_on, "Reading", retry=Retry(max=3))
    await log.until(job.id, lambda state: state.get("currentStep") == "Reading")
    cancel(job.id)
    await log.ended(job.id)
    assert log.events(job.id)[-1] == CANCELLED
    await until(lambda: job.get_status() == "failed")


@pytest.mark.usefixtures("worker", "owner")
async def test_what_its_owner_cancels_is_stopped_if_it_reports_nothing(
    queue: Queue, log: Log, redis: Redis, cancel: Callable[[str], None]
) -> None:
    begun = new_key()
    job = queue.enqueue(rq_tasks.say_nothing, begun)
    await until(lambda: bool(redis.exists(begun)))
    cancel(job.id)
    await log.ended(job.id)
    assert log.events(job.id)[-1] == CANCELLED
    await until(lambda: job.get_status() == "stopped")


@pytest.mark.usefixtures("worker", "owner")
async def test_what_its_owner_cancels_before_is_not_run(
    queue: Queue, log: Log, redis: Redis, cancel: Callable[[str], None]
) -> None:
    begun = new_key()
    job = queue.create_job(rq_tasks.say_nothing, args=(begun,), timeout=60)
    cancel(job.id)
    queue.enqueue_job(job)
    await until(lambda: job.get_status() == "failed")
    assert log.names(job.id) == ["_created", "failed"]
    assert not redis.exists(begun)


@pytest.mark.usefixtures("worker", "owner")
async def test_a_command_to_stop_cancels(queue: Queue, log: Log, redis: Redis) -> None:
    begun = new_key()
    job = queue.enqueue(rq_tasks.say_nothing, begun)
    await until(lambda: bool(redis.exists(begun)))
    send_stop_job_command(redis, job.id)
    await log.ended(job.id)
    assert log.events(job.id)[-1] == CANCELLED


@pytest.mark.usefixtures("owner")
async def test_a_job_that_rq_cancels_or_deletes_is_cancelled(
    redis: Redis, queue: Queue, log: Log
) -> None:
    unserved = Queue("unserved", connection=redis)
    first, second = unserved.enqueue(rq_tasks.fail), unserved.enqueue(rq_tasks.fail)
    first.cancel()
    second.delete()
    assert log.events(first.id)[-1] == log.events(second.id)[-1] == CANCELLED
    assert queue.count == 0


@pytest.mark.usefixtures("worker", "owner")
@pytest.mark.parametrize("retries", [0, 1])
async def test_a_work_horse_that_is_killed_is_known_at_once(
    queue: Queue, log: Log, redis: Redis, retries: int
) -> None:
    begun = new_key()
    job = queue.enqueue(rq_tasks.say_nothing, begun, retry=Retry(max=1) if retries else None)
    await until(lambda: bool(redis.exists(begun)))
    os.kill(int(redis.get(begun) or 0), signal.SIGKILL)
    if retries:
        await log.until(job.id, lambda state: state.get("status") == "succeeded")
        assert log.state(job.id)["attempt"] == "2"
    else:
        assert (await log.ended(job.id))["errorCode"] == "STALLED"


@pytest.mark.usefixtures("owner")
async def test_a_worker_that_is_killed_loses_its_lease_and_the_next_is_an_attempt(
    server: Valkey, queue: Queue, log: Log, redis: Redis
) -> None:
    begun, lone = new_key(), Queue("lone", connection=redis)
    assert queue.count == 0
    with rq_worker(server, "lone") as doomed:
        job = lone.enqueue(rq_tasks.say_nothing, begun)
        await until(lambda: bool(redis.exists(begun)))
        doomed.kill()
        os.kill(int(redis.get(begun) or 0), signal.SIGKILL)
    await log.runs_out(job.id)
    assert log.state(job.id)["errorCode"] == "STALLED"
    lone.push_job_id(job.id)
    with rq_worker(server, "--burst", "lone") as other:
        other.wait()
    assert (log.state(job.id)["status"], log.state(job.id)["attempt"]) == ("succeeded", "2")


@pytest.fixture(scope="module")
def apart() -> Iterator[Valkey]:
    """Return a Redis of Jobcast that is not RQ's."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def worker_apart(server: Valkey, apart: Valkey) -> Iterator[QueueWorker]:
    """Return a worker whose calls wait for that Redis for a moment."""
    arguments = ("--url", server.url, "--job-class", "tests.queues.rq_app.Job", "apart")
    settings: Any = {"REDIS_URL": apart.url, "LEASE_S": "60", "BLOCK_S": "0.3"}
    with QueueWorker("rq.cli", "worker", *arguments, ready=READY, **settings) as running:
        yield running


@pytest.mark.usefixtures("worker_apart", "owner")
@pytest.mark.parametrize("is_retried", [False, True])
async def test_an_end_that_finds_no_redis_is_written_by_the_next_task(
    redis: Redis, apart: Valkey, *, is_retried: bool
) -> None:
    task = rq_tasks.wait_and_fail_once if is_retried else rq_tasks.wait_for
    go_on = new_key()
    install(apart.url)
    own = Queue("apart", connection=redis)
    with apart.client() as client:
        log = Log(client)
        retry = Retry(max=1, interval=3600) if is_retried else None
        job = own.enqueue(task, go_on, retry=retry)
        await log.until(job.id, lambda state: state.get("currentStep") == "Waiting")
        apart.pause()
        try:
            redis.rpush(go_on, 1)
            await until(lambda: redis.llen(UNSENT) == 1)
        finally:
            apart.resume()
        expected = "scheduled" if is_retried else "finished"
        await until(lambda: job.get_status() == expected)
        redis.lpush(UNSENT, *MALFORMED)
        assert (await log.ended(own.enqueue(rq_tasks.report, 1).id))["status"] == "succeeded"
        state, names = log.state(job.id), log.names(job.id)
        if is_retried:
            assert (state["status"], state["attempt"]) == ("queued", "2")
            assert names[-2:] == ["failed", "_retried"]
        else:
            assert (state["status"], state["result"]) == ("succeeded", '"done"')
            assert names[-2:] == ["progress-update", "complete"]
        assert names.count("step-change") == 1
    assert redis.llen(UNSENT) == 0
    assert Job.jobcast is not None
    Job.jobcast.close()
    Job.jobcast = None


@pytest.mark.usefixtures("worker", "owner")
async def test_of_two_executions_at_once_the_second_is_followed(
    queue: Queue, log: Log, redis: Redis
) -> None:
    go_on = new_key()
    job = queue.enqueue(rq_tasks.wait_for, go_on)
    await log.until(job.id, lambda state: state.get("currentStep") == "Waiting")
    redis.rpush(go_on, 1)
    second = Job.fetch(job.id, connection=redis)
    redis.rpush(go_on, 1)
    assert second.perform() == "done"
    await until(lambda: job.get_status() == "finished")
    assert log.names(job.id).count("complete") == 1
    assert (await log.ended(job.id))["status"] == "succeeded"


@pytest.mark.usefixtures("worker", "owner")
async def test_what_can_t_be_sent_is_left_out(queue: Queue, log: Log) -> None:
    unusual, large = (
        queue.enqueue(rq_tasks.return_what_json_lacks),
        queue.enqueue(rq_tasks.store_a_lot),
    )
    assert "result" not in await log.ended(unusual.id)
    assert log.names(unusual.id)[-2:] == ["log", "complete"]
    assert (await log.ended(large.id))["status"] == "succeeded"
    assert log.progress(large.id) == [50]
    assert Job.fetch(large.id, connection=queue.connection).meta["jobcast"]["id"] == large.id


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("kind", [SimpleWorker, None])
async def test_other_workers_do_as_well(
    queue: Queue, log: Log, redis: Redis, kind: type[SimpleWorker] | None
) -> None:
    own = Queue(f"own-{uuid4()}", connection=redis, is_async=kind is not None)
    job = own.enqueue(rq_tasks.report, 2)
    if kind is not None:
        kind([own], connection=redis, job_class=Job).work(burst=True)
    assert log.state(job.id)["status"] == "succeeded"
    assert jobcast.sync.current_run() is None
    assert queue.count == 0


async def test_without_jobcast_s_redis_tasks_run(
    redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    class LonelyJob(Job):
        jobcast = Tasks(AWAY, block_s=0.2, enqueue_s=0.1)

    own = Queue("own", connection=redis, is_async=False, job_class=LonelyJob)
    with jobcast.owner(user_id="u1"):
        job = own.enqueue(rq_tasks.report, 3)
    assert job.return_value() == {"pages": 3}
    assert len([each for each in caplog.records if each.name == "jobcast.adapters"]) == 1
    LonelyJob.jobcast.close()


@pytest.mark.usefixtures("owner")
async def test_a_job_id_that_is_used_again_is_another_job(
    queue: Queue, redis: Redis, log: Log
) -> None:
    own = Queue("again", connection=redis, is_async=False)
    own.enqueue(rq_tasks.report, 1, job_id="by-hand")
    again = own.enqueue(rq_tasks.report, 1, job_id="by-hand")
    assert log.names("by-hand").count("complete") == 1
    other = again.get_meta()["jobcast"]["id"]
    assert other != "by-hand"
    assert log.state(other)["status"] == "succeeded"
    assert queue.count == 0


def test_jobcast_is_in_the_redis_of_rq_unless_it_is_named(
    server: Valkey, redis: Redis, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Queue("same", connection=redis, is_async=False)
    with jobcast.owner(user_id="u1"):
        job = own.enqueue(rq_tasks.report, 1)
        assert log.state(job.id)["status"] == "succeeded"
        monkeypatch.setenv("JOBCAST_REDIS_URL", f"{server.url[:-1]}1")
        assert log.state(own.enqueue(rq_tasks.report, 1).id) == {}


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6380/2",
        "redis://u:p%2F%40@[::1]:6379/0",
        "redis://:p@host:6379/0",
        "unix:///run/redis.sock?db=3",
    ],
)
def test_the_address_of_a_connection(url: str) -> None:
    assert url_of(Redis.from_url(url)) == url


def test_the_address_of_a_connection_with_tls() -> None:
    client = Redis.from_url("rediss://host:6379/0?ssl_ca_certs=/ca.pem")
    assert client.connection_pool.connection_class is SSLConnection
    assert url_of(client) == "rediss://host:6379/0?ssl_ca_certs=%2Fca.pem"
