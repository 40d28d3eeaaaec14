"""Dramatiq: its own workers, its own ways to retry, skip and fail, as jobs of Jobcast."""

from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from redis import Redis

import jobcast
import jobcast.sync
from jobcast.adapters.dramatiq import Jobcast, owned_by
from tests.queues.apps import imported, new_key
from tests.queues.log import CANCELLED, Log
from tests.support.queue_worker import QueueWorker
from tests.support.valkey import Valkey
from tests.support.waiting import until

APP = "tests.queues.dramatiq_app"
READY = "is ready for action"
AWAY = "redis://127.0.0.1:1/0"


def dramatiq_worker(
    server: Valkey, queue: str = "elsewhere", jobcast_url: str = "", may_wait: str = ""
) -> QueueWorker:
    arguments = ("dramatiq", APP, "--processes", "1", "--threads", "4", "--queues", queue)
    return QueueWorker(
        *arguments,
        ready=READY,
        REDIS_URL=server.url,
        JOBCAST_URL=jobcast_url or server.url,
        MAY_WAIT=may_wait,
    )


@pytest.fixture(scope="module")
def worker(server: Valkey) -> Iterator[QueueWorker]:
    with dramatiq_worker(server, "default") as running:
        yield running


@pytest.fixture(scope="module")
def actors(server: Valkey) -> Iterator[ModuleType]:
    """Return the module of the actors, as a process that sends messages has it."""
    dramatiq_app = imported(APP, server.url)
    yield dramatiq_app
    for each in dramatiq_app.broker.middleware:
        if isinstance(each, Jobcast):
            each._tasks.close()
    dramatiq_app.broker.close()
    dramatiq_app.broker.client.close()


@pytest.mark.usefixtures("worker")
async def test_an_actor_reports_to_its_run_and_sends_for_its_owner(
    actors: ModuleType, log: Log, server: Valkey
) -> None:
    with jobcast.owner(user_id="u1"):
        job_id = actors.report.send(3).message_id
    state = await log.ended(job_id)
    assert (state["status"], state["result"], state["type"]) == (
        "succeeded",
        '{"pages":3}',
        "report",
    )
    assert log.progress(job_id)[-1] == 100
    with server.client() as client:
        key_of_owner = client.keys("jobs:by-*u1*")
        (index,) = key_of_owner
        await until(lambda: client.zcard(index) == 2)


@pytest.mark.usefixtures("worker")
async def test_an_owner_may_be_an_option(actors: ModuleType, log: Log) -> None:
    message = actors.report.send_with_options(args=(1,), delay=10, **owned_by(session_id="s1"))
    assert (await log.ended(message.message_id))["sessionId"] == "s1"


@pytest.mark.usefixtures("worker")
async def test_an_actor_that_nobody_owns_runs(actors: ModuleType, log: Log, redis: Redis) -> None:
    message = actors.say_nothing.send(begun := new_key())
    await until(lambda: bool(redis.exists(begun)))
    assert log.state(message.message_id) == {}


@pytest.mark.usefixtures("worker", "owner")
async def test_a_failure_has_a_code(actors: ModuleType, log: Log) -> None:
    job_id = actors.fail.send().message_id
    await log.ended(job_id)
    failure = {"error": "no such page", "errorCode": "ValueError"}
    assert log.events(job_id)[-1] == ("failed", failure)


@pytest.mark.usefixtures("owner")
def test_a_message_that_can_t_be_sent_is_cancelled(actors: ModuleType, log: Log) -> None:
    message = actors.report.message({1, 2})
    with pytest.raises(TypeError):
        actors.broker.enqueue(message)
    assert log.events(message.message_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker", "owner")
async def test_a_retry_is_an_attempt(actors: ModuleType, log: Log) -> None:
    job_id = actors.fail_once.send().message_id
    await log.until(job_id, lambda state: state.get("status") == "succeeded")
    assert log.state(job_id)["attempt"] == "2"
    names = log.names(job_id)
    assert names == [*("_created", "step-change", "failed", "_retried", "step-change", "complete")]
    failed = log.events(job_id)[2][1]
    assert (failed["errorCode"], failed["willRetry"]) == ("OSError", True)
    assert failed["retryInSeconds"] <= 0.02


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("owner", [{"user_id": "u1"}, {}], ids=["followed", "not followed"])
@pytest.mark.parametrize("name", ["fail_and_call_back", "fail_for_good", "succeed_and_call_back"])
async def test_dramatiq_s_callbacks_are_called(
    actors: ModuleType, redis: Redis, name: str, owner: dict[str, str]
) -> None:
    key = new_key()
    with jobcast.owner(**owner):
        getattr(actors, name).send(key)
    await until(lambda: redis.get(key) == b"as sent")


@pytest.mark.usefixtures("worker", "owner")
@pytest.mark.parametrize("name", ["work_on", "work_on_in_a_group"])
async def test_what_its_owner_cancels_is_interrupted_and_not_retried(
    actors: ModuleType, log: Log, cancel: Callable[[str], None], name: str
) -> None:
    job_id = getattr(actors, name).send().message_id
    await log.until(job_id, lambda state: state.get("currentStep") == "Working")
    cancel(job_id)
    await log.ended(job_id)
    assert log.events(job_id)[-1] == CANCELLED
    after = actors.fail.send().message_id  # what a retry would come before
    await log.ended(after)
    assert log.events(job_id)[-1] == CANCELLED


@pytest.mark.usefixtures("worker", "owner")
async def test_what_its_owner_cancels_before_is_not_run(
    actors: ModuleType, log: Log, redis: Redis, cancel: Callable[[str], None]
) -> None:
    message = actors.say_nothing.send_with_options(args=(begun := new_key(),), delay=200)
    cancel(message.message_id)
    after = actors.fail.send_with_options(delay=300).message_id
    await log.ended(after)
    assert log.names(message.message_id) == ["_created", "failed"]
    assert not redis.exists(begun)


@pytest.mark.usefixtures("worker", "owner")
async def test_a_message_that_is_skipped_fails(actors: ModuleType, log: Log) -> None:
    job_id = actors.stay_fresh.send_with_options(delay=50).message_id
    await log.ended(job_id)
    failure = {"error": "The message was skipped", "errorCode": "SKIPPED"}
    assert log.events(job_id)[-1] == ("failed", failure)


@pytest.mark.usefixtures("owner")
async def test_a_lost_workers_message_is_taken_over(
    actors: ModuleType, log: Log, redis: Redis, server: Valkey
) -> None:
    with dramatiq_worker(server, may_wait="1") as lost:
        job_id = actors.say_nothing_elsewhere.send(begun := new_key()).message_id
        await until(lambda: bool(redis.exists(begun)))
        lost.kill()
    await log.runs_out(job_id)
    assert log.state(job_id)["errorCode"] == "STALLED"
    with dramatiq_worker(server):
        await log.until(job_id, lambda state: state.get("status") == "succeeded")
    assert log.state(job_id)["attempt"] == "2"


@pytest.mark.usefixtures("owner")
async def test_actors_run_while_jobcasts_redis_is_unavailable(
    actors: ModuleType, log: Log, redis: Redis, server: Valkey
) -> None:
    job_id = actors.say_nothing_elsewhere.send(begun := new_key()).message_id
    with dramatiq_worker(server, jobcast_url=AWAY):
        await until(lambda: bool(redis.exists(begun)))
    assert log.names(job_id) == ["_created"]
