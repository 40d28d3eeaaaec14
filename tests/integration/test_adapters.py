"""What all adapters share, in both forms: from a message to the run of its task and to its end."""

import inspect
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast.adapters import _asyncio, _blocking
from jobcast.adapters._task import Ticket
from jobcast.protocol.names import new_job_id
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

AnyTasks = _blocking.Tasks | _asyncio.Tasks
TASKS: dict[str, type[AnyTasks]] = {"blocking": _blocking.Tasks, "asyncio": _asyncio.Tasks}
AWAY = "redis://127.0.0.1:1/0"


async def done(answer: object) -> Any:  # noqa: ANN401 - whatever the call returns
    """Return what a call of either form returns."""
    return await answer if inspect.isawaitable(answer) else answer


async def closed(tasks: AnyTasks) -> None:
    if isinstance(tasks, _blocking.Tasks):
        tasks.close()
    else:
        await tasks.aclose()


def current(form: str) -> Any:  # noqa: ANN401 - of either form
    return (jobcast.sync if form == "blocking" else jobcast).current_run()


@pytest.fixture(params=TASKS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def tasks(form: str, redis_url: str) -> AsyncIterator[AnyTasks]:
    made = TASKS[form](redis_url, block_s=0.5, enqueue_s=0.2)
    yield made
    await closed(made)


@pytest.fixture
async def ticket(tasks: AnyTasks) -> Ticket:
    with jobcast.owner(user_id="u1"):
        made = await done(tasks.enqueued("t1", "shop.resize"))
    assert isinstance(made, Ticket)
    return made


async def state(redis: Redis, job_id: str = "t1") -> dict[str, str]:
    return cast("dict[str, str]", await redis.hgetall(f"jobs:{{{job_id}}}:state"))


async def events(redis: Redis, job_id: str = "t1") -> list[tuple[str, dict[str, Any]]]:
    log: Any = await redis.xrange(f"jobs:{{{job_id}}}:log")
    return [(fields["event"], json.loads(fields["data"])) for _, fields in log]


async def test_a_task_with_an_owner_is_a_queued_job_of_its_id(
    ticket: Ticket, redis_client: Redis
) -> None:
    stored = await state(redis_client)
    assert (stored["status"], stored["type"]) == ("queued", "shop.resize")
    assert stored["userId"] == "u1"
    assert "sessionId" not in stored
    assert Ticket.from_header(json.loads(json.dumps(ticket.to_header()))) == ticket


@pytest.mark.parametrize("task_id", ["not an id", "x" * 129, f"{0xA:08X}-0000-0000-0000-{0:012}"])
async def test_a_task_whose_id_is_no_job_id_gets_one(
    tasks: AnyTasks, redis_client: Redis, task_id: str
) -> None:
    with jobcast.owner(session_id="s1"):
        ticket = await done(tasks.enqueued(task_id, "work"))
    assert ticket.job_id != task_id
    assert (await state(redis_client, ticket.job_id))["sessionId"] == "s1"


async def test_a_task_id_that_was_used_before_gets_a_job_of_its_own(
    tasks: AnyTasks, ticket: Ticket, caplog: pytest.LogCaptureFixture
) -> None:
    with jobcast.owner(user_id="u1"):
        other = await done(tasks.enqueued("t1", "work"))
    assert other.job_id != ticket.job_id
    assert "job t1 already" in caplog.text


async def test_nobody_s_task_is_not_followed_which_is_said_once(
    tasks: AnyTasks, caplog: pytest.LogCaptureFixture
) -> None:
    assert await done(tasks.enqueued("t1", "work")) is None
    assert await done(tasks.enqueued("t2", "work")) is None
    with jobcast.owner():
        assert await done(tasks.enqueued("t3", "work")) is None
    assert len(caplog.records) == 1
    assert "it has no owner" in caplog.text


async def test_the_run_of_a_task_reports_and_ends_its_job(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis, form: str
) -> None:
    task = await done(tasks.begin(ticket))
    assert current(form) is task.run
    await done(current(form).progress(40, "Writing"))
    with pytest.raises(jobcast.InvalidEvent):
        await done(current(form).progress(140))
    await done(task.complete({"pages": 3}))
    assert current(form) is None
    stored = await state(redis_client)
    assert (stored["status"], stored["result"]) == ("succeeded", '{"pages":3}')
    assert "lease" not in stored


async def test_a_task_that_is_not_followed_reports_to_nobody(
    tasks: AnyTasks, redis_client: Redis, form: str
) -> None:
    task = await done(tasks.begin(None))
    await done(current(form).progress(40, "Writing"))
    await done(current(form).step("Reading", total=3))
    await done(current(form).advance())
    await done(current(form).emit("page", {}))
    await done(task.report({"progress": 50}))
    await done(task.complete(1))
    assert current(form) is None
    assert await redis_client.keys("*") == []


async def test_what_a_followed_task_enqueues_has_its_owner(tasks: AnyTasks, ticket: Ticket) -> None:
    task = await done(tasks.begin(ticket))
    child = await done(tasks.enqueued("t2", "work"))
    await done(task.complete(None))
    assert child.user_id == "u1"
    assert await done(tasks.enqueued("t3", "work")) is None


async def test_reports_in_a_queue_s_own_way_are_progress(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis
) -> None:
    task = await done(tasks.begin(ticket))
    await done(task.report({"current": 3, "total": 12, "status": "Reading", "phase": "a"}))
    await done(task.report({"progress": 61.8, "_secret": 1, "odd": object()}))
    await done(task.report("what is no mapping"))
    await done(task.complete(None))
    first, last = [data for name, data in await events(redis_client) if name == "progress-update"]
    assert (first["progress"], first["currentStep"], first["phase"]) == (25, "Reading", "a")
    assert (first["current"], first["total"]) == (3, 12)
    assert last == {"progress": 61, "currentStep": None, "estimatedTimeRemaining": None}


async def test_of_a_storm_of_reports_the_last_arrives(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis
) -> None:
    task = await done(tasks.begin(ticket))
    for percent in range(100):
        await done(task.report({"progress": percent}))
    await done(task.complete(None))
    log = await events(redis_client)
    sent = [data["progress"] for name, data in log if name == "progress-update"]
    assert sent[-1] == 99


async def test_a_failure_has_a_code(tasks: AnyTasks, ticket: Ticket, redis_client: Redis) -> None:
    task = await done(tasks.begin(ticket))
    await done(task.fail(ValueError("no such page")))
    assert (await events(redis_client))[-1] == (
        "failed",
        {"error": "no such page", "errorCode": "ValueError"},
    )


async def test_a_retry_is_an_attempt(tasks: AnyTasks, ticket: Ticket, redis_client: Redis) -> None:
    task = await done(tasks.begin(ticket))
    await done(task.retry(OSError("no route"), in_s=5))
    stored = await state(redis_client)
    assert (stored["status"], stored["attempt"]) == ("queued", "2")
    task = await done(tasks.begin(ticket))
    await done(task.complete(None))
    assert [name for name, _ in await events(redis_client)] == [
        *("_created", "step-change", "failed", "_retried", "step-change", "complete")
    ]
    failed = {"error": "no route", "errorCode": "OSError", "willRetry": True, "retryInSeconds": 5}
    assert (await events(redis_client))[2][1] == failed


@pytest.mark.parametrize(
    "in_s", [-1, -0.001, float("nan"), float("inf"), pytest.param(10**400, id="large")]
)
async def test_a_delay_that_viewers_can_t_be_told_keeps_no_task_from_its_retry(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis, in_s: float
) -> None:
    task = await done(tasks.begin(ticket))
    await done(task.retry(OSError("no route"), in_s=in_s))
    assert (await state(redis_client))["status"] == "queued"
    failed = {"error": "no route", "errorCode": "OSError", "willRetry": True}
    assert (await events(redis_client))[2][1] == failed


async def test_what_a_queue_delivers_after_a_failure_is_an_attempt(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis
) -> None:
    await done((await done(tasks.begin(ticket))).fail("The worker was lost", "STALLED"))
    await done((await done(tasks.begin(ticket))).complete(1))
    stored = await state(redis_client)
    assert (stored["status"], stored["attempt"]) == ("succeeded", "2")


async def test_of_two_executions_at_once_the_second_is_followed(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    first = await done(tasks.begin(ticket))
    second = await done(tasks.begin(ticket))
    await done(first.run.progress(90))
    await done(first.run.emit("page", {}))
    assert not first.is_followed
    await done(first.complete("first"))
    await done(second.complete("second"))
    assert (await state(redis_client))["result"] == '"second"'
    assert caplog.text.count("is not followed any more") == 1


async def test_a_task_that_was_cancelled_before_is_not_to_run(
    tasks: AnyTasks, ticket: Ticket, jobs: jobcast.Jobs
) -> None:
    await jobs.cancel(ticket.job_id)
    task = await done(tasks.begin(ticket))
    assert task.is_cancelled
    task.leave()


async def test_a_cancelled_task_is_told_at_its_next_report(
    tasks: AnyTasks, ticket: Ticket, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    task = await done(tasks.begin(ticket))
    await jobs.cancel(ticket.job_id)

    async def report() -> None:
        for percent in range(10_000):
            await done(task.report({"progress": percent % 100}))

    with pytest.raises(jobcast.JobCancelled) as cancelled:
        await report()
    await done(task.fail(cancelled.value))
    assert (await events(redis_client))[-1] == ("failed", {"error": "Cancelled", "errorCode": None})


async def test_a_cancelled_task_that_reports_nothing_is_aborted_by_its_queue(
    form: str, redis_url: str, jobs: jobcast.Jobs
) -> None:
    tasks = TASKS[form](redis_url, lease_s=0.3)
    aborted: list[bool] = []
    with jobcast.owner(user_id="u1"):
        ticket = await done(tasks.enqueued("t1", "work"))
    task = await done(tasks.begin(ticket, lambda: aborted.append(True)))
    await jobs.cancel("t1")

    async def is_aborted() -> bool:
        return bool(aborted)

    await eventually(is_aborted)
    await done(task.cancel())
    await closed(tasks)
    assert aborted == [True]


async def test_a_cancelled_task_that_reports_is_not_aborted_before_it_could_notice(
    form: str, redis_url: str, jobs: jobcast.Jobs
) -> None:
    tasks = TASKS[form](redis_url)
    aborted: list[bool] = []
    with jobcast.owner(user_id="u1"):
        ticket = await done(tasks.enqueued("t1", "work"))
    task = await done(tasks.begin(ticket, lambda: aborted.append(True)))
    await jobs.cancel("t1")
    await done(task.run._renew(60_000))
    with pytest.raises(jobcast.JobCancelled):
        await done(task.report({"progress": 20}))
    await done(task.run._renew(60_000))
    assert aborted == []
    with pytest.raises(jobcast.JobCancelled):
        await done(task.report({"progress": 20}))
    await done(task.run._renew(60_000))  # it goes on all the same
    assert aborted == [True]
    await done(task.cancel())
    await closed(tasks)


@pytest.mark.parametrize("status", ["queued", "running"])
async def test_a_queue_revokes_a_task(
    tasks: AnyTasks, ticket: Ticket, redis_client: Redis, status: str
) -> None:
    task = await done(tasks.begin(ticket)) if status == "running" else None
    await done(tasks.cancel(ticket))
    await done(tasks.cancel(ticket))
    if task is not None:
        await done(tasks.end(ticket, "Cancelled", None))
        task.leave()
    assert (await events(redis_client))[-1] == ("failed", {"error": "Cancelled", "errorCode": None})


@pytest.mark.parametrize("result", [object(), {"a": float("nan")}, "x" * 2000])
async def test_a_result_that_can_t_be_sent_is_null_with_a_note(
    form: str, redis_url: str, redis_client: Redis, result: object
) -> None:
    tasks = TASKS[form](redis_url, max_event_bytes=1024)
    with jobcast.owner(user_id="u1"):
        ticket = await done(tasks.enqueued("t1", "work"))
    await done((await done(tasks.begin(ticket))).complete(result))
    await closed(tasks)
    (_, note), end = (await events(redis_client))[-2:]
    assert end == ("complete", {"result": None})
    assert note["text"].startswith("The result is left out: ")


async def test_without_redis_tasks_are_enqueued_and_run(
    form: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "jobcast.adapters")
    tasks = TASKS[form](AWAY, block_s=0.2, enqueue_s=0.1)
    with jobcast.owner(user_id="u1"):
        ticket = await done(tasks.enqueued("t1", "work"))
        assert await done(tasks.enqueued("t2", "work")) is not None
    assert ticket.job_id == "t1"
    task = await done(tasks.begin(ticket))
    for percent in range(100):
        await done(task.run.progress(percent))
    await done(task.complete(1))
    await closed(tasks)
    assert len([each for each in caplog.records if each.name == "jobcast.adapters"]) == 1


async def test_what_redis_missed_is_written_when_it_is_back(form: str) -> None:
    with Valkey() as server:
        tasks = TASKS[form](server.url, block_s=0.3, enqueue_s=0.1)
        server.kill()
        with jobcast.owner(user_id="u1"):
            ticket = await done(tasks.enqueued("t1", "work"))
        server.start()
        # The worker creates the job, then Redis is away again, right before another start.
        await done((await done(tasks.begin(ticket))).fail("once"))
        server.kill()
        task = await done(tasks.begin(await _retried(server, ticket)))
        await done(task.run.progress(70, "Writing"))
        server.start()
        await done(task.complete("done"))
        async with Redis.from_url(server.url, decode_responses=True) as client:
            is_done = _has_ended(client)
            await eventually(is_done)
            names = [name for name, _ in await events(client)]
        await closed(tasks)
    assert names[-3:] == ["step-change", "progress-update", "complete"]


def _has_ended(client: Redis) -> Callable[[], Any]:
    async def has_ended() -> bool:
        return (await state(client)).get("status") == "succeeded"

    return has_ended


async def _retried(server: Valkey, ticket: Ticket) -> Ticket:
    """Have the job be queued again by a server that then is away."""
    server.start()
    async with jobcast.connect(server.url) as jobs:
        await jobs.retry(ticket.job_id)
    server.kill()
    return ticket


@pytest.mark.parametrize("header", [None, "x", {}, {"id": "a b", "type": "x"}, {"id": "a"}, 5])
def test_what_is_no_ticket_is_none(header: object) -> None:
    assert Ticket.from_header(header) is None


def test_a_ticket_has_a_fresh_id_where_there_is_a_job_already() -> None:
    ticket = Ticket(new_job_id(), "work", "u1", None)
    assert ticket.with_new_id()[1:] == ticket[1:]
    assert ticket.with_new_id().job_id != ticket.job_id
