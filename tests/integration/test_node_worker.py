"""The worker library for Node on Redis as people run it, and as it fails."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.deployments import FORMS, Deployment, deployment
from tests.support.interruption import Interruption, Moment
from tests.support.node_worker import NodeWorker, Threw
from tests.support.proxy import Proxy
from tests.support.stored import cancel, log_of, state_of
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import after, eventually
from tests.support.whole_run import whole_run

LOST: list[Moment] = ["before", "after"]
OUTAGE_S = 3
CLIENTS = [(form, module) for form in ("plain", "sentinel", "cluster") for module in ("ioredis5",)]


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey("--appendfsync", "always") as server:
        yield server


async def notes_of(redis: Redis, job_id: str = "j1") -> list[int]:
    log = await log_of(redis, job_id)
    return [json.loads(fields["data"])["n"] for _, fields in log if fields["event"] == "note"]


async def names_of(redis: Redis, job_id: str = "j1") -> list[str]:
    return [fields["event"] for _, fields in await log_of(redis, job_id)]


@pytest.mark.parametrize(("form", "module"), [*((form, "") for form in FORMS), *CLIENTS])
async def test_a_run_is_logged_published_and_indexed(
    request: pytest.FixtureRequest, form: str, module: str
) -> None:
    redis: Deployment = deployment(form, request)
    async with NodeWorker(redis.url, module) as worker:
        job_id = await worker.create("j1", sessionId="s1")
        with whole_run(redis, job_id):
            await worker.call("open", job_id)
            await worker.call("start")
            await worker.call("progress", 40, "Writing...", {"eta": 30})
            await worker.call("emit", "note", {"text": "é"})
            await worker.call("complete", {"pages": 12})
        assert await worker.left() == 0


async def test_calls_whose_answers_get_lost_are_written_once_and_return_their_entries(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with Interruption(valkey.port, 0) as way, NodeWorker(way.url, leaseS=None) as worker:
        await worker.started()
        for moment in LOST:
            for call in (["progress", 50], ["step", "Reading"], ["emit", "note", {"n": 1}]):
                before = await log_of(redis_client, "j1")
                way.fail_next(moment)
                entry_id = await worker.call(*call)
                written = await log_of(redis_client, "j1", before[-1][0])
                assert [each for each, _ in written] == [entry_id]
        way.fail_next("after")
        entry_id = await worker.call("complete", {"n": 1})
        assert (await log_of(redis_client, "j1"))[-1][0] == entry_id
    assert (await names_of(redis_client)).count("complete") == 1


@pytest.mark.parametrize("moment", LOST)
async def test_a_creation_and_a_start_whose_answers_get_lost_happen_once(
    valkey: Valkey, redis_client: Redis, moment: Moment
) -> None:
    async with Interruption(valkey.port, 0) as way, NodeWorker(way.url) as worker:
        await worker.create("j0")  # so that what connecting takes is over
        for command in range(1, 4):
            way._at, way._moment = way.count + command, moment
            assert await worker.create(f"c{command}") == f"c{command}"
        for command in range(1, 3):
            way._at, way._moment = way.count + command, moment
            await worker.call("open", f"c{command}")
            entry_id = await worker.call("start")
            log = await log_of(redis_client, f"c{command}")
            assert [fields["event"] for _, fields in log] == ["_created", "step-change"]
            assert log[-1][0] == entry_id
        with pytest.raises(Threw, match="JobExists"):
            await worker.create("c3")
    assert len(await redis_client.zrange("jobs:by-user:u1", 0, -1)) == 4


async def test_a_server_that_does_not_answer_is_left_and_asked_again(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        NodeWorker(f"{way.url}?socket_timeout=0.5", leaseS=None) as worker,
    ):
        await worker.started()
        way.fail_next("unanswered")
        assert await worker.call("emit", "note", {"n": 1})
        assert await worker.call("emit", "note", {"n": 2})
    assert await notes_of(redis_client) == [1, 2]


async def test_events_are_in_the_order_of_calls_that_nobody_awaits(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with Proxy(valkey.port) as way:
        url = f"redis://{HOST}:{way.port}/0"
        async with NodeWorker(url, leaseS=None, bufferEvents=20) as worker:
            await worker.started()
            calls = []
            for number in range(200):
                calls.append(worker.begin("emit", "note", {"n": number}))
                if number % 50 == 0:
                    way.cut()
            calls.append(worker.begin("complete"))
            ids = await asyncio.gather(*calls)
    assert await notes_of(redis_client) == list(range(200))
    assert ids == [entry_id for entry_id, _ in (await log_of(redis_client, "j1"))[2:]]


async def test_an_outage_of_redis_costs_nothing_but_time(own_valkey: Valkey) -> None:
    async with NodeWorker(own_valkey.url) as worker:
        await worker.started()
        calls = [worker.begin("emit", "note", {"n": number}) for number in range(5)]
        await asyncio.gather(*calls)
        own_valkey.kill()
        calls = [worker.begin("emit", "note", {"n": number}) for number in range(5, 10)]
        calls.append(worker.begin("complete", {"n": 10}))
        await after(OUTAGE_S)
        await asyncio.to_thread(own_valkey.start)
        assert all(await asyncio.gather(*calls))
        assert await worker.call("finished")
        assert await worker.left() == 0
    async with Redis.from_url(own_valkey.url, decode_responses=True) as redis:
        assert await notes_of(redis) == list(range(10))
        assert (await names_of(redis))[-1] == "complete"
        assert not await redis.exists("jobs:leases")


async def test_a_call_blocks_no_longer_than_it_may_and_its_event_is_written_later(
    own_valkey: Valkey,
) -> None:
    async with NodeWorker(own_valkey.url, blockS=1, leaseS=None, bufferEvents=4) as worker:
        await worker.started()
        own_valkey.kill()
        assert await worker.call("emit", "note", {"n": 0}) == ""
        for percent in range(1, 9):
            assert await worker.call("progress", percent) == ""
        assert await worker.call("emit", "note", {"n": 1}) == ""
        assert await worker.call("emit", "note", {"n": 2}) == ""
        with pytest.raises(Threw, match="BufferFull"):
            await worker.call("emit", "note", {"n": 3})
        assert await worker.call("complete") == ""
        assert await worker.call("hasEnded")
        assert not await worker.call("finished")
        with pytest.raises(Threw, match="RedisUnavailable"):
            await worker.create("j2")
        leaving = asyncio.create_task(worker.left())  # closes, but the end is not given up
        await asyncio.wait([leaving], timeout=1.5)
        await asyncio.to_thread(own_valkey.start)
        assert await leaving == 0
    async with Redis.from_url(own_valkey.url, decode_responses=True) as redis:
        assert await notes_of(redis) == [0, 1, 2]
        progress = [f["data"] for _, f in await log_of(redis, "j1") if "update" in f["event"]]
        assert [json.loads(data)["progress"] for data in progress] == [8]
        assert (await state_of(redis, "j1"))["status"] == "succeeded"


async def test_a_start_that_was_given_up_is_not_written_later(
    valkey: Valkey, redis_client: Redis
) -> None:
    async with (
        Interruption(valkey.port, 0) as way,
        NodeWorker(way.url, blockS=1, leaseS=None) as worker,
    ):
        await worker.create("j1")
        way._at, way._moment, way._lasting = way.count + 1, "before", True
        await worker.call("open", "j1")
        with pytest.raises(Threw, match="RedisUnavailable"):
            await worker.call("start")
        way.heal()
        others = itertools.count(2)

        async def another_is_created() -> bool:
            # The next try to connect may be later than a call waits.
            with suppress(Threw):
                return bool(await worker.create(f"j{next(others)}"))
            return False

        await eventually(another_is_created)
        assert await names_of(redis_client) == ["_created"]


async def test_a_lease_is_renewed_in_the_background_and_tells_of_a_cancel(
    redis_url: str, redis_client: Redis
) -> None:
    async with NodeWorker(redis_url, leaseS=0.5) as worker:
        await worker.started()
        (member,) = await redis_client.zrange("jobs:leases", 0, -1)
        state = await state_of(redis_client, "j1")
        assert member == f"j1:{state['run']}"

        async def is_renewed() -> bool:
            return int((await state_of(redis_client, "j1"))["lease"]) > int(state["lease"]) + 500

        await eventually(is_renewed)
        await cancel(redis_client, "j1")

        async def is_told() -> bool:
            return bool(await worker.call("cancelRequested"))

        await eventually(is_told)
        with pytest.raises(Threw, match="JobCancelled"):
            await worker.call("progress", 5)
        await worker.call("fail", "Cancelled")

        async def is_taken_out() -> bool:
            return not await redis_client.exists("jobs:leases")

        await eventually(is_taken_out)
        assert await worker.left() == 0


async def test_what_a_failover_loses_is_not_the_run(redis_url: str, redis_client: Redis) -> None:
    async with NodeWorker(redis_url, leaseS=None) as worker:
        await worker.create("j1")
        keys = ("jobs:{j1}:state", "jobs:{j1}:log")
        before: dict[str, Any] = {key: await redis_client.dump(key) for key in keys}
        await worker.call("open", "j1")
        await worker.call("start")
        await worker.call("emit", "note", {"n": 1})
        for key, value in before.items():
            await redis_client.restore(key, 0, value, replace=True)
        await worker.call("emit", "note", {"n": 2})
        await worker.call("complete")
    assert await names_of(redis_client) == ["_created", "step-change", "note", "complete"]
    assert await notes_of(redis_client) == [2]


async def test_a_user_that_may_not_publish_is_warned_of_once(valkey: Valkey) -> None:
    valkey.flush()
    url = valkey.add_user("mute", "p", "~jobs:*", "+@all")
    async with NodeWorker(url, leaseS=None) as worker:
        await worker.started()
        await worker.call("progress", 5)
        warnings = await worker.call("warnings")
    assert warnings == ["JobcastWarning: this Redis user may not publish: viewers get events late"]
