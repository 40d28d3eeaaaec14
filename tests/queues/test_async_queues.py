"""The queues of asyncio: their own workers and their own ways, as jobs of Jobcast.

The same is tried with each of them. Its tasks are in ``NAME_app.py``; it is used by a worker and a
producer in processes of their own, because some need other packages than this process has.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Self
from uuid import uuid4

import pytest
from redis import Redis

import jobcast
from tests.queues.async_kinds import KINDS, Kind
from tests.queues.log import CANCELLED, Log
from tests.queues.producer import Producer
from tests.support.queue_worker import ROOT, QueueWorker
from tests.support.valkey import Valkey
from tests.support.waiting import until

AWAY = "redis://127.0.0.1:1/0"


class World:
    """A queue with its Redis, and a program that enqueues."""

    def __init__(self, kind: Kind, server: Valkey, jobcast_url: str) -> None:
        self._kind = kind
        self._settings = kind.settings(server.url, jobcast_url)
        self._stack = ExitStack()
        self._worker: QueueWorker | None = None

    def working(self) -> QueueWorker:
        """Return the worker that runs; it is started if the one before was killed."""
        if self._worker is None or not self._worker.runs:
            self._worker = self._stack.enter_context(
                QueueWorker(
                    *self._kind.worker.split(),
                    ready=self._kind.ready,
                    folder=ROOT,
                    **self._settings,
                )
            )
        return self._worker

    def __enter__(self) -> Self:
        environment = {**os.environ, **self._settings}
        module = f"tests.queues.{self._kind.name}_app"
        self.producer = self._stack.enter_context(Producer(module, str(ROOT), environment))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(scope="module")
def world(kind: Kind, server: Valkey) -> Iterator[World]:
    with World(kind, server, server.url) as made:
        yield made


@pytest.fixture
def worker(world: World) -> None:
    world.working()


@pytest.fixture
def queue(world: World) -> Producer:
    return world.producer


@pytest.fixture
def redis(server: Valkey) -> Iterator[Redis]:
    with server.client() as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"test:{uuid4()}"


@pytest.mark.usefixtures("worker")
async def test_a_task_reports_in_its_own_way(queue: Producer, log: Log, key: str) -> None:
    job_id = queue.enqueue("report", key, 4)
    state = await log.ended(job_id)
    assert (state["status"], state["result"], state["userId"]) == ("succeeded", '{"pages":4}', "7")
    assert state["type"].endswith("report")
    name, last = log.events(job_id)[-2]
    assert (name, last["progress"], last["currentStep"]) == ("progress-update", 100, "Reading")


@pytest.mark.usefixtures("worker")
async def test_a_task_reports_to_its_run_and_enqueues_for_its_owner(
    queue: Producer, log: Log
) -> None:
    job_id = queue.enqueue("report_to_the_run")
    state = await log.ended(job_id)
    own, child = json.loads(state["result"])
    assert own == job_id
    assert log.names(job_id).count("log") == 3
    assert (await log.ended(child))["userId"] == "7"


@pytest.mark.usefixtures("worker")
async def test_a_task_that_nobody_owns_runs(
    queue: Producer, log: Log, redis: Redis, key: str
) -> None:
    job_id = queue.enqueue("report", key, 2, owner=None)
    await until(lambda: bool(redis.exists(key)))
    assert log.state(job_id) == {}


@pytest.mark.usefixtures("worker")
async def test_a_failure_has_a_code(queue: Producer, log: Log) -> None:
    job_id = queue.enqueue("fail")
    await log.ended(job_id)
    failure = {"error": "no such page", "errorCode": "ValueError"}
    assert log.events(job_id)[-1] == ("failed", failure)


@pytest.mark.usefixtures("worker")
async def test_a_task_that_the_worker_lacks_fails(kind: Kind, queue: Producer, log: Log) -> None:
    if not kind.can_lack_tasks:
        return
    job_id = str(queue.call("enqueue_unknown", owner="7"))
    state = await log.ended(job_id)
    assert (state["error"], state["errorCode"]) == ("The worker has no such task", "UNKNOWN_TYPE")


@pytest.mark.parametrize("arguments", [[], ["key", 1]], ids=["not JSON", "refused"])
async def test_a_task_that_can_t_be_sent_is_cancelled(
    kind: Kind, queue: Producer, log: Log, arguments: list[object]
) -> None:
    if kind.name != "taskiq":
        return
    job_id = f"refused-{uuid4()}" if arguments else str(uuid4())
    queue.call("enqueue_in_vain", job_id, *arguments, owner="7")
    await log.ended(job_id)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker")
async def test_what_another_program_aborts_before_it_begins_is_cancelled(
    kind: Kind, queue: Producer, log: Log, key: str
) -> None:
    if kind.name != "arq":
        return
    job_id = str(queue.call("abort_by_another", "say_nothing", [key], owner="7"))
    await log.ended(job_id)
    assert log.names(job_id) == ["_created", "failed"]
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker")
async def test_a_retry_is_an_attempt(queue: Producer, log: Log, key: str) -> None:
    job_id = queue.enqueue("fail_once", key)
    await log.until(job_id, lambda state: state.get("status") == "succeeded")
    assert log.state(job_id)["attempt"] == "2"
    assert tuple(log.names(job_id)[2:4]) == ("failed", "_retried")
    assert log.events(job_id)[2][1]["error"] == "no route"
    assert log.events(job_id)[2][1]["willRetry"]


@pytest.mark.usefixtures("worker")
async def test_what_its_owner_cancels_stops_at_its_next_report(
    queue: Producer, log: Log, jobs: jobcast.Jobs
) -> None:
    job_id = queue.enqueue("work_on")
    await log.until(job_id, lambda state: state.get("currentStep") == "Reading")
    await jobs.cancel(job_id)
    await log.ended(job_id)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker")
async def test_what_its_owner_cancels_is_aborted_if_it_reports_nothing(
    queue: Producer, log: Log, redis: Redis, jobs: jobcast.Jobs, key: str
) -> None:
    job_id = queue.enqueue("say_nothing", key)
    await until(lambda: bool(redis.exists(key)))
    await jobs.cancel(job_id)
    await log.ended(job_id)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker")
async def test_what_was_cancelled_is_not_run_again(
    queue: Producer, log: Log, redis: Redis, jobs: jobcast.Jobs, key: str
) -> None:
    job_id = queue.enqueue("say_nothing", key)
    await until(lambda: bool(redis.exists(key)))
    await jobs.cancel(job_id)
    await log.ended(job_id)
    redis.delete(key)
    queue.call("deliver_again", job_id)
    queue.enqueue("report", other := f"{key}:other", 1)
    await until(lambda: bool(redis.exists(other)))
    assert log.events(job_id)[-1] == CANCELLED
    assert not redis.exists(key)


@pytest.mark.usefixtures("worker")
async def test_what_the_queue_aborts_is_cancelled(
    kind: Kind, queue: Producer, log: Log, redis: Redis, key: str
) -> None:
    if not kind.can_abort:
        return
    job_id = queue.enqueue("say_nothing", key)
    await until(lambda: bool(redis.exists(key)))
    queue.call("abort", job_id)
    await log.ended(job_id)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker")
async def test_what_the_queue_aborts_before_it_begins_is_cancelled(
    kind: Kind, queue: Producer, log: Log, redis: Redis, key: str
) -> None:
    if not kind.can_abort:
        return
    job_id = str(queue.call("abort_before", "say_nothing", [key], owner="7"))
    assert log.names(job_id) == ["_created", "failed"]
    assert log.events(job_id)[-1] == CANCELLED
    assert not redis.exists(key)


@pytest.mark.usefixtures("worker")
async def test_of_two_executions_at_once_the_second_is_followed(
    queue: Producer, log: Log, redis: Redis, key: str
) -> None:
    job_id = queue.enqueue("wait_for", key)
    await log.until(job_id, lambda state: state.get("currentStep") == "Waiting")
    queue.call("deliver_again", job_id)
    await until(lambda: log.names(job_id).count("step-change") == 2)
    redis.rpush(key, 1, 1)
    assert (await log.ended(job_id))["status"] == "succeeded"
    assert log.names(job_id).count("complete") == 1


@pytest.mark.usefixtures("worker")
async def test_a_result_that_is_no_json_is_left_out(kind: Kind, queue: Producer, log: Log) -> None:
    if not kind.keeps_what_json_lacks:
        return
    job_id = queue.enqueue("return_what_json_lacks")
    assert "result" not in await log.ended(job_id)
    assert log.names(job_id)[-2:] == ["log", "complete"]


async def test_a_worker_that_is_killed_loses_its_lease_and_the_next_is_an_attempt(
    world: World, queue: Producer, log: Log, redis: Redis, key: str
) -> None:
    worker = world.working()
    job_id = queue.enqueue("say_nothing", key)
    await until(lambda: bool(redis.exists(key)))
    worker.kill()
    await log.runs_out(job_id)
    assert log.state(job_id)["errorCode"] == "STALLED"
    queue.call("deliver_again", job_id)
    world.working()
    await log.until(job_id, lambda state: state.get("status") == "succeeded")
    assert log.state(job_id)["attempt"] == "2"


async def test_without_jobcast_s_redis_tasks_run(
    kind: Kind, server: Valkey, redis: Redis, key: str
) -> None:
    with World(kind, server, AWAY) as lonely:
        lonely.producer.enqueue("report", key, 3)
        lonely.working()
        await until(lambda: bool(redis.exists(key)))
