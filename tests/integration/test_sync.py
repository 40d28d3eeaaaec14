"""The blocking form: the same log for the same calls, from threads and forked processes."""

import json
import logging
import multiprocessing
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

import jobcast
from jobcast import (
    BufferFull,
    InvalidEvent,
    JobCancelled,
    JobExists,
    JobFinished,
    JobNotRunning,
    JobSuperseded,
    UnknownJob,
)
from jobcast.protocol.append import CANCEL, SCRIPT
from jobcast.sync import Jobs, Run, connect, current_run
from jobcast.tqdm import tqdm
from tests.support.sentinels import SentinelSet
from tests.support.short_block import shorten_block
from tests.support.valkey import Valkey
from tests.support.valkey_cluster import ValkeyCluster

STATE, LOG = "jobs:{j1}:state", "jobs:{j1}:log"


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def jobs(redis_url: str) -> Iterator[Jobs]:
    with connect(redis_url) as connected:
        yield connected


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey("--appendonly", "yes", "--appendfsync", "always") as server:
        yield server


def started(jobs: Jobs, job_id: str = "j1") -> Run:
    run = jobs.run(jobs.create("report", user_id="u1", input={"pages": 3}, job_id=job_id))
    run.start()
    return run


def log_of(redis: Redis) -> list[tuple[str, dict[str, str]]]:
    return cast("list[tuple[str, dict[str, str]]]", redis.xrange(LOG))


def notes_of(redis: Redis) -> list[int]:
    return [
        json.loads(fields["data"])["n"] for _, fields in log_of(redis) if "note" in fields.values()
    ]


def state_of(redis: Redis) -> dict[str, str]:
    return cast("dict[str, str]", redis.hgetall(STATE))


def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds, looked at by another thread's side."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.02)
    raise TimeoutError


def cancel(redis: Redis) -> None:
    redis.eval(SCRIPT, 2, *CANCEL.command("PUBLISH", (LOG, STATE), None, "")[3:])


async def test_the_log_of_a_run_is_that_of_the_asynchronous_form(
    redis_url: str, redis: Redis
) -> None:
    with connect(redis_url) as jobs:
        run = started(jobs)
        written = [
            run.progress(40, "Writing...", eta=30, phase="draft"),
            run.step("Sorting", 10),
            run.emit("note", {"n": 1}),
            run.complete({"pages": 12}),
        ]
    blocking = log_of(redis)
    assert [entry_id for entry_id, _ in blocking][2:] == written
    state = state_of(redis)
    redis.flushdb()
    async with jobcast.connect(redis_url, progress_per_s=None) as others:
        other = others.run(
            await others.create("report", user_id="u1", input={"pages": 3}, job_id="j1")
        )
        await other.start()
        await other.progress(40, "Writing...", eta=30, phase="draft")
        await other.step("Sorting", 10)
        await other.emit("note", {"n": 1})
        await other.complete({"pages": 12})

    def comparable(fields: dict[str, str]) -> dict[str, str]:
        return {
            k: v for k, v in fields.items() if k not in {"run", "runs", "token"} and "-" not in v
        }

    assert [comparable(fields) for _, fields in log_of(redis)] == [
        comparable(fields) for _, fields in blocking
    ]
    assert comparable(state_of(redis)) == comparable(state)
    assert redis.zcard("jobs:by-user:u1") == 1


def test_a_block_starts_and_completes(jobs: Jobs, redis: Redis) -> None:
    jobs.create("report", user_id="u1", input={"pages": 3}, job_id="j1")
    with jobs.run("j1") as run:
        assert (run.type, run.input, run.attempt) == ("report", {"pages": 3}, 1)
        run.result = {"pages": 12}
    assert (run.finished, state_of(redis)["result"]) == (True, '{"pages":12}')
    with pytest.raises(JobFinished):
        run.progress(10)


def test_a_block_that_raises_fails_the_job(jobs: Jobs, redis: Redis) -> None:
    jobs.create("report", user_id="u1", job_id="j1")
    with pytest.raises(ValueError, match="No paper"), jobs.run("j1"):
        raise ValueError("No paper")
    assert state_of(redis)["error"] == "No paper"


def test_a_result_that_is_no_json_fails_the_job(jobs: Jobs, redis: Redis) -> None:
    jobs.create("report", user_id="u1", job_id="j1")
    with pytest.raises(InvalidEvent, match="result"), jobs.run("j1") as run:
        run.result = {1, 2}
    assert state_of(redis)["status"] == "failed"


def test_a_cancel_request_ends_the_block(jobs: Jobs, redis: Redis) -> None:
    jobs.create("report", user_id="u1", job_id="j1")
    with jobs.run("j1") as run:
        cancel(redis)
        run.progress(10)
        pytest.fail("the job went on after it was cancelled")
    assert state_of(redis)["error"] == "Cancelled"


def test_refusals_are_those_of_the_asynchronous_form(jobs: Jobs, redis: Redis) -> None:
    with pytest.raises(UnknownJob):
        jobs.run("nobody").start()
    with pytest.raises(JobNotRunning, match="not started"):
        jobs.run("j1").progress(1)
    first = started(jobs)
    with pytest.raises(JobExists):
        jobs.create("report", user_id="u1", job_id="j1")
    second = jobs.run("j1")
    second.start()
    with pytest.raises(JobSuperseded):
        first.progress(10)
    with pytest.raises(InvalidEvent):
        second.progress(101)
    cancel(redis)
    with pytest.raises(JobCancelled):
        jobs.run("j1").start()


def test_the_lease_is_renewed_while_the_caller_computes(redis_url: str, redis: Redis) -> None:
    with connect(redis_url, lease_s=0.6) as jobs:
        run = started(jobs)
        first = int(state_of(redis)["lease"])
        # Nothing here gives way to an event loop.
        until(lambda: int(state_of(redis)["lease"]) > first + 600)
        cancel(redis)
        until(lambda: run.cancel_requested)
        run.fail("Cancelled")
        until(lambda: not redis.zcard("jobs:leases"))


def test_a_run_that_nobody_holds_is_renewed_no_longer(redis_url: str, redis: Redis) -> None:
    with connect(redis_url, lease_s=0.6) as jobs:
        run: Run | None = started(jobs)
        assert run is not None
        run = None

        def is_over() -> bool:
            seconds, microseconds = redis.time()
            return int(state_of(redis)["lease"]) < seconds * 1000 + microseconds / 1000

        until(is_over)


def test_threads_share_a_client_and_a_run(jobs: Jobs, redis: Redis) -> None:
    run = started(jobs)
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: run.emit("note", {"n": n}), range(200)))
    log = dict(log_of(redis))
    assert [json.loads(log[entry_id]["data"])["n"] for entry_id in ids] == list(range(200))
    assert sorted(notes_of(redis)) == list(range(200))


def test_each_thread_sees_its_events_in_order_over_restarts_of_redis(own_valkey: Valkey) -> None:
    with connect(own_valkey.url, block_s=None) as jobs:
        run = started(jobs)
        going = threading.Event()

        def work() -> None:
            for n in range(300):
                run.emit("note", {"n": n})
                if n == 50:
                    going.set()

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            going.wait()
            for _ in range(2):
                own_valkey.kill()
                own_valkey.start()
            working.result()
        run.complete()
        with own_valkey.client() as client:
            assert notes_of(client) == list(range(300))


def test_a_call_blocks_no_longer_than_it_may_and_its_event_is_written_later(
    own_valkey: Valkey,
) -> None:
    with connect(own_valkey.url, buffer_events=20) as jobs:
        run = started(jobs)
        shorten_block(jobs)
        own_valkey.kill()
        assert [run.emit("note", {"n": n}) for n in range(20)] == [""] * 20
        with pytest.raises(BufferFull):
            run.emit("note", {"n": 20})
        with pytest.raises(RedisConnectionError):
            jobs.create("report", user_id="u1")
        assert run.complete() == ""
        assert (run.has_ended, run.finished) == (True, False)
        own_valkey.start()
        until(lambda: run.finished)
        with own_valkey.client() as client:
            assert notes_of(client) == list(range(20))


def in_child(jobs: Jobs, inherited: Run, answers: Any) -> None:  # noqa: ANN401 - a queue
    try:
        inherited.progress(50)
    except JobNotRunning as refusal:
        answers.put(str(refusal))
    with jobs.run(jobs.create("report", user_id="u1", job_id="child")) as run:
        before = run.progress(10)
    answers.put(bool(before))


def test_its_connections_are_closed_with_it_not_by_the_collector(
    redis_url: str, redis: Redis
) -> None:
    def is_connected() -> bool:
        return "closing" in {str(client["name"]) for client in redis.client_list()}

    with connect(f"{redis_url}?client_name=closing") as jobs:
        jobs.create("report", user_id="u1")
        kept = jobs._connection._client
        assert is_connected()
    until(lambda: not is_connected())
    assert kept is not None


def test_a_client_that_was_inherited_over_fork_opens_its_own_connection_and_thread(
    redis_url: str, redis: Redis
) -> None:
    context = multiprocessing.get_context("fork")
    with connect(redis_url, lease_s=0.6) as jobs:
        run = started(jobs)
        answers = context.Queue()
        child = context.Process(target=in_child, args=(jobs, run, answers))
        child.start()
        assert answers.get(timeout=30) == "A run is of the process that has started it"
        assert answers.get(timeout=30) is True
        child.join()
        first = int(state_of(redis)["lease"])
        until(lambda: int(state_of(redis)["lease"]) > first)
        run.complete()
    assert redis.hget("jobs:{child}:state", "status") == "succeeded"


def bar_in_child(answers: Any) -> None:  # noqa: ANN401 - a queue of some context
    answers.put(list(tqdm([1, 2], disable=True)))
    answers.put(current_run() is None)


def test_in_a_forked_process_no_run_goes_on(jobs: Jobs) -> None:
    context = multiprocessing.get_context("fork")
    run = started(jobs)
    answers = context.Queue()
    child = context.Process(target=bar_in_child, args=(answers,))
    child.start()
    child.join()
    assert answers.get(timeout=30) == [1, 2]
    assert answers.get(timeout=30) is True
    assert current_run() is run


def test_a_handler_that_stays_after_the_end_sends_nothing(jobs: Jobs, redis: Redis) -> None:
    run = started(jobs)
    handler = run.log_handler()
    run.complete()
    before = redis.info("commandstats")["cmdstat_evalsha"]["calls"]
    handler.emit(logging.makeLogRecord({"name": "of.a.test", "msg": "late"}))
    with pytest.raises(JobFinished):
        run.emit("note", {})
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_a_line_that_is_not_unicode_is_sent_all_the_same(jobs: Jobs, redis: Redis) -> None:
    run = started(jobs)
    record = logging.LogRecord("of.a.test", logging.INFO, "", 0, "file \udcff", (), None)
    run.log_handler().emit(record)
    run.complete()
    assert [json.loads(fields["data"]).get("text") for _, fields in log_of(redis)][2] == "file ?"


def test_a_failover_of_sentinels_costs_nothing_but_time(sentinels: SentinelSet) -> None:
    with connect(sentinels.url, block_s=None) as jobs:
        run = started(jobs)
        run.emit("note", {"n": 1})
        sentinels.failover()
        run.emit("note", {"n": 2})
        run.complete()
    with sentinels.primary().client() as client:
        assert notes_of(client) == [1, 2]


def test_a_failover_of_a_cluster_costs_nothing_but_time(cluster: ValkeyCluster) -> None:
    with connect(cluster.url, block_s=None) as jobs:
        run = started(jobs)
        run.emit("note", {"n": 1})
        replica = cluster.failover(LOG)
        run.emit("note", {"n": 2})
        run.complete()
    with replica.client() as client:
        assert notes_of(client) == [1, 2]


def test_tls_is_spoken(tls_redis: Valkey) -> None:
    with connect(tls_redis.url) as jobs:
        started(jobs).complete()
