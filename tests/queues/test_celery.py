"""Celery: its own workers and pools, its own ways to report, retry, revoke and fail."""

import os
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chain, chord, group
from kombu.exceptions import EncodeError
from redis import Redis

import jobcast
import jobcast.sync
from jobcast.adapters.celery import install, owned_by
from tests.queues.apps import imported, new_key
from tests.queues.log import CANCELLED, Log
from tests.support.queue_worker import ROOT, QueueWorker
from tests.support.valkey import Valkey
from tests.support.waiting import until

APP = "tests.queues.celery_app"
READY = " ready."


def celery_worker(server: Valkey, *options: str, jobcast_url: str = "") -> QueueWorker:
    arguments = ("-A", APP, "worker", "--loglevel=INFO", "--without-mingle", "--without-gossip")
    urls = {"REDIS_URL": server.url, "JOBCAST_URL": jobcast_url or server.url}
    return QueueWorker("celery", *arguments, *options, ready=READY, folder=ROOT, **urls)


@pytest.fixture(scope="module")
def worker(server: Valkey) -> Iterator[QueueWorker]:
    with celery_worker(server, "--concurrency=2") as running:
        yield running


@pytest.fixture(scope="module")
def tasks(server: Valkey) -> Iterator[ModuleType]:
    """Return the module of the app, as a process that enqueues has it."""
    celery_app = imported(APP, server.url)
    celery_app.app.conf.update(broker_url=server.url, result_backend=server.url)
    yield celery_app
    celery_app.app.close()


async def test_a_task_reports_in_its_own_way(
    worker: QueueWorker, tasks: ModuleType, log: Log
) -> None:
    with jobcast.owner(user_id="u1"):
        task_id = tasks.report.delay(4).id
    state = await log.ended(task_id)
    assert (state["status"], state["result"]) == ("succeeded", '{"pages":4}')
    assert (state["userId"], state["type"]) == ("u1", f"{APP}.report")
    last = log.events(task_id)[-2][1]
    assert (last["progress"], last["current"], last["total"], last["phase"]) == (100, 4, 4, "a")


@pytest.mark.usefixtures("worker", "owner")
async def test_a_task_reports_to_its_run_and_enqueues_for_its_owner(
    tasks: ModuleType, log: Log
) -> None:
    state = await log.ended(tasks.report_to_the_run.delay().id)
    assert state["status"] == "succeeded"
    child = await log.ended(state["result"].strip('"'))
    assert (child["userId"], child["status"]) == ("7", "succeeded")


@pytest.mark.usefixtures("worker")
async def test_a_task_that_nobody_owns_runs(
    tasks: ModuleType, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    result = tasks.report.delay(2)
    await until(result.successful)
    assert log.state(result.id) == {}
    assert caplog.text.count("it has no owner") <= 1


@pytest.mark.usefixtures("worker")
async def test_an_owner_may_be_an_argument(tasks: ModuleType, log: Log) -> None:
    task_id = tasks.report.apply_async((1,), headers=owned_by(session_id="s1")).id
    assert (await log.ended(task_id))["sessionId"] == "s1"


@pytest.mark.usefixtures("worker", "owner")
async def test_a_failure_has_a_code(tasks: ModuleType, log: Log) -> None:
    task_id = tasks.fail.delay().id
    await log.ended(task_id)
    failure = {"error": "no such page", "errorCode": "ValueError"}
    assert log.events(task_id)[-1] == ("failed", failure)


@pytest.mark.usefixtures("worker", "owner")
@pytest.mark.parametrize("countdown", [0, 1])
async def test_a_retry_is_an_attempt(tasks: ModuleType, log: Log, countdown: int) -> None:
    task_id = tasks.retry_once.delay(countdown).id
    await log.until(task_id, lambda state: state.get("status") == "succeeded")
    assert log.state(task_id)["attempt"] == "2"
    names = log.names(task_id)
    assert names == [*("_created", "step-change", "failed", "_retried", "step-change", "complete")]
    failed = log.events(task_id)[2][1]
    assert (failed["errorCode"], failed["willRetry"]) == ("ValueError", True)
    assert ("retryInSeconds" in failed) == (countdown > 0)


@pytest.mark.usefixtures("worker", "owner")
async def test_a_retry_that_celery_makes_is_an_attempt(tasks: ModuleType, log: Log) -> None:
    task_id = tasks.retry_by_itself.delay().id
    await log.until(task_id, lambda state: state.get("status") == "succeeded")
    assert log.state(task_id)["attempt"] == "2"


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("name", ["work_on", "work_on_and_retry"])
async def test_what_its_owner_cancels_stops_at_its_next_report(
    worker: QueueWorker, tasks: ModuleType, log: Log, cancel: Callable[[str], None], name: str
) -> None:
    result = getattr(tasks, name).delay("Reading")
    await log.until(result.id, lambda state: state.get("currentStep") == "Reading")
    cancel(result.id)
    await log.ended(result.id)
    assert log.events(result.id)[-1] == CANCELLED
    await until(lambda: result.state == "REVOKED")
    assert f"[{result.id}] retry" not in worker.log


@pytest.mark.usefixtures("worker", "owner")
async def test_what_its_owner_cancels_is_terminated_if_it_reports_nothing(
    tasks: ModuleType, log: Log, redis: Redis, cancel: Callable[[str], None]
) -> None:
    begun = new_key()
    result = tasks.say_nothing.delay(begun)
    await until(lambda: bool(redis.exists(begun)))
    cancel(result.id)
    await log.ended(result.id)
    assert log.events(result.id)[-1] == CANCELLED
    await until(lambda: result.state == "REVOKED")


@pytest.mark.usefixtures("worker", "owner")
async def test_what_its_owner_cancels_before_is_not_run(
    tasks: ModuleType, log: Log, redis: Redis, cancel: Callable[[str], None]
) -> None:
    begun, queue = new_key(), f"later-{uuid4()}"
    result = tasks.say_nothing.apply_async((begun,), queue=queue)
    cancel(result.id)
    tasks.app.control.add_consumer(queue)
    await until(lambda: result.state == "REVOKED")
    assert log.names(result.id) == ["_created", "failed"]
    assert not redis.exists(begun)


@pytest.mark.usefixtures("worker", "owner")
async def test_what_is_revoked_before_its_time_is_cancelled(tasks: ModuleType, log: Log) -> None:
    queue = f"later-{uuid4()}"
    result = tasks.fail.apply_async(queue=queue)
    tasks.app.control.revoke(result.id)
    tasks.app.control.add_consumer(queue)
    await log.ended(result.id)
    assert log.events(result.id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker", "owner")
async def test_what_is_terminated_is_cancelled(tasks: ModuleType, log: Log, redis: Redis) -> None:
    begun = new_key()
    result = tasks.say_nothing.delay(begun)
    await until(lambda: bool(redis.exists(begun)))
    tasks.app.control.revoke(result.id, terminate=True)
    await log.ended(result.id)
    assert log.events(result.id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker", "owner")
async def test_what_has_expired_says_so(tasks: ModuleType, log: Log) -> None:
    task_id = tasks.fail.apply_async(expires=datetime.now(UTC) - timedelta(seconds=5)).id
    assert (await log.ended(task_id))["errorCode"] == "EXPIRED"


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("arguments", [({1, 2}, 3), (object(), 3)], ids=["a set", "an object"])
def test_a_task_that_can_t_be_sent_is_cancelled(
    tasks: ModuleType, log: Log, arguments: tuple[object, ...]
) -> None:
    job_id = str(uuid4())
    with pytest.raises(EncodeError):
        tasks.add.apply_async(arguments, task_id=job_id)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker", "owner")
async def test_a_task_that_the_worker_lacks_fails(tasks: ModuleType, log: Log) -> None:
    state = await log.ended(tasks.app.send_task("unknown").id)
    assert (state["error"], state["errorCode"]) == ("The worker has no such task", "UNKNOWN_TYPE")


@pytest.mark.usefixtures("worker", "owner")
async def test_a_message_that_celery_rejects_fails(tasks: ModuleType, log: Log) -> None:
    state = await log.ended(tasks.app.send_task(tasks.fail.name, eta="tomorrow").id)
    assert state["errorCode"] == "InvalidTaskError"


@pytest.mark.usefixtures("worker", "owner")
async def test_a_process_that_is_killed_is_known_at_once(
    tasks: ModuleType, log: Log, redis: Redis
) -> None:
    begun = new_key()
    task_id = tasks.say_nothing.delay(begun).id
    await until(lambda: bool(redis.exists(begun)))
    os.kill(int(redis.get(begun) or 0), signal.SIGKILL)
    assert (await log.ended(task_id))["errorCode"] == "STALLED"


@pytest.mark.usefixtures("worker", "owner")
async def test_what_is_delivered_again_takes_over(
    tasks: ModuleType, log: Log, redis: Redis
) -> None:
    begun = new_key()
    task_id = tasks.say_nothing_and_come_again.delay(begun).id
    await until(lambda: bool(redis.exists(begun)))
    os.kill(int(redis.get(begun) or 0), signal.SIGKILL)
    assert (await log.ended(task_id))["status"] == "succeeded"
    assert log.names(task_id).count("step-change") == 2


@pytest.mark.usefixtures("worker", "owner")
async def test_what_takes_too_long_has_failed(tasks: ModuleType, log: Log) -> None:
    task_id = tasks.take_too_long.delay().id
    assert (await log.ended(task_id))["errorCode"] == "TimeLimitExceeded"


@pytest.mark.usefixtures("owner")
async def test_a_worker_that_is_killed_loses_its_lease_and_the_next_is_an_attempt(
    server: Valkey, tasks: ModuleType, log: Log, redis: Redis
) -> None:
    begun, options = new_key(), ("--queues=lone", "--pool=solo")
    with celery_worker(server, *options) as doomed:
        task = tasks.say_nothing_and_come_again
        task_id = task.apply_async((begun,), queue="lone").id
        await until(lambda: bool(redis.exists(begun)))
        doomed.kill()
    await log.runs_out(task_id)
    assert log.state(task_id)["errorCode"] == "STALLED"
    # What the broker does once the visibility timeout is over.
    unacked: Any = redis.zrange("unacked_index", 0, -1)
    redis.zadd("unacked_index", dict.fromkeys(unacked, 0))
    with celery_worker(server, *options):
        await log.until(task_id, lambda state: state["status"] == "succeeded")
    assert log.state(task_id)["attempt"] == "2"


@pytest.mark.usefixtures("worker", "owner")
async def test_of_two_executions_at_once_the_second_is_followed(
    tasks: ModuleType, log: Log, redis: Redis
) -> None:
    go_on = new_key()
    first = tasks.wait_for.delay(go_on)
    await log.until(first.id, lambda state: state.get("currentStep") == "Waiting")
    header = log.state(first.id)
    again = {"id": first.id, "type": header["type"], "user": "7", "task": first.id}
    tasks.wait_for.apply_async((go_on,), task_id=first.id, headers={"jobcast": again})
    await until(lambda: log.names(first.id).count("step-change") == 2)
    redis.rpush(go_on, 1, 1)
    await log.ended(first.id)
    assert log.names(first.id).count("complete") == 1


@pytest.mark.usefixtures("worker", "owner")
async def test_each_task_of_a_chain_a_group_and_a_chord_is_a_job(
    tasks: ModuleType, log: Log
) -> None:
    add, total = tasks.add, tasks.total
    chained = chain(add.s(1, 2), add.s(3))()
    grouped = group(add.s(1, 1), add.s(2, 2))()
    chorded = chord([add.s(3, 3), add.s(4, 4)])(total.s())
    members = [chained, chained.parent, *grouped.results, chorded, *chorded.parent.results]
    results = [(await log.ended(each.id)).get("result") for each in members]
    assert results == ["6", "3", "2", "4", "14", "6", "8"]
    assert {log.state(each.id)["userId"] for each in members} == {"7"}


@pytest.mark.usefixtures("worker", "owner")
async def test_what_can_t_be_sent_is_left_out(tasks: ModuleType, log: Log) -> None:
    large, odd = tasks.return_a_lot.delay(), tasks.report_a_lot.delay()
    assert "result" not in await log.ended(large.id)
    assert log.names(large.id)[-2:] == ["log", "complete"]
    await log.ended(odd.id)
    assert log.progress(odd.id) == [50]
    assert "rows" not in log.events(odd.id)[-2][1]


@pytest.mark.usefixtures("worker", "owner")
async def test_tasks_that_end_in_other_ways(tasks: ModuleType, log: Log) -> None:
    replaced, rejected = tasks.replace.delay(), tasks.reject.delay()
    by_hand = tasks.end_by_hand.delay("FAILURE")
    ignored = tasks.end_by_hand.delay("SUCCESS")
    assert (await log.ended(replaced.id))["result"] == '{"pages":2}'
    assert (await log.ended(rejected.id))["errorCode"] == "Reject"
    assert (await log.ended(by_hand.id))["error"] == "by hand"
    assert (await log.ended(ignored.id))["status"] == "succeeded"


@pytest.mark.usefixtures("worker", "owner")
async def test_a_task_id_by_hand(tasks: ModuleType, log: Log) -> None:
    task_id = f"by hand {uuid4()}"
    result = tasks.add.apply_async((1, 1), task_id=task_id)
    assert result.get(timeout=60) == 2
    assert log.state(task_id) == {}


@pytest.mark.usefixtures("owner")
@pytest.mark.parametrize("pool", ["threads", "solo"])
async def test_other_pools_do_as_well(
    server: Valkey, tasks: ModuleType, log: Log, pool: str
) -> None:
    options = (f"--queues={pool}", f"--pool={pool}", "--concurrency=2")
    with celery_worker(server, *options):
        reports = [tasks.report.apply_async((3,), queue=pool) for _ in range(4)]
        retried = tasks.retry_by_itself.apply_async(queue=pool)
        for each in reports:
            assert (await log.ended(each.id))["result"] == '{"pages":3}'
        await log.until(retried.id, lambda state: state["status"] == "succeeded")


@pytest.mark.usefixtures("owner")
async def test_without_jobcast_s_redis_tasks_run(server: Valkey, tasks: ModuleType) -> None:
    away = "redis://127.0.0.1:1/0"
    with celery_worker(server, "--queues=away", "--pool=solo", jobcast_url=away) as lonely:
        result = tasks.report.apply_async((3,), queue="away")
        assert result.get(timeout=60) == {"pages": 3}
        assert lonely.log.count("Traceback") == 0


@pytest.mark.usefixtures("owner")
def test_a_task_that_is_called_or_eager_reports_to_nobody(tasks: ModuleType, log: Log) -> None:
    assert tasks.add(1, 2) == 3
    result = tasks.report_to_the_run_alone.apply()
    assert result.get() == "done"
    assert log.state(result.id) == {}


def test_a_wrong_address_is_refused_where_it_is_given() -> None:
    with pytest.raises(ValueError, match="redis://"):
        install(Celery("wrong"), "http://127.0.0.1")
