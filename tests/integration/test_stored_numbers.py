"""Numbers that others have written to a job are read alike by the script and by every reader."""

import json
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

import jobcast
from eventlog.reader import Reader
from eventlog.retried_run import find_run
from jobcast._connection import Connection
from jobcast._event import emitted, started
from jobcast.bridge.jobs import BridgedJobs
from jobcast.bridge.leadership import Leadership
from jobcast.bridge.notices import Notices
from jobcast.bridge.owners import OwnerRule, parse_paths
from jobcast.protocol.append import Bounds
from jobcast.redis.caller import Caller
from tests.support.stored import log_of, state_of

STATE = "jobs:{j1}:state"
ODD = ("05", "1.0", "1e0", " 2 ", "1_0", "0x5", "+2", "\u0665", "0", "-1", "nan", "", "9" * 16)
ODD_PERCENTS = ("40.7", "4e1", " 40.0 ", "-0", "101", "1e300", "1e999", "1.", "null")
NOTE = emitted("note", {})


@pytest.fixture
async def connection(redis_url: str, jobs: jobcast.Jobs) -> AsyncIterator[Connection]:
    """Return a connection to a Redis with a job that runs, under the token ``r``."""
    connected = Connection(redis_url)
    await jobs.create("report", user_id="u1", job_id="j1")
    await connected.append("j1", started(None), 1, "r", "1")
    yield connected
    await connected.aclose()


async def number_of_the_bridge(connection: Connection) -> int:
    """Return the number that a bridge counts on from."""
    leadership = Leadership(connection, "b", lease_s=60)
    await leadership.take()
    rule = OwnerRule(user=parse_paths("data.user"))
    view = await BridgedJobs(connection, leadership, rule, Bounds(60, 100, 1024), Notices()).view(
        "j1"
    )
    assert view is not None
    return view.seq


@pytest.mark.parametrize("text", ["7", *ODD])
async def test_the_number_from_which_a_bridge_counts_on_is_that_of_the_script(
    connection: Connection, redis_client: Redis, text: str
) -> None:
    await redis_client.hset(STATE, "seq", text)
    number = str(await number_of_the_bridge(connection) + 1)
    answer = await connection.append("j1", NOTE, 1, "r", number)
    again = await connection.append("j1", NOTE, 1, "r", number)
    assert again.entry_id == answer.entry_id
    assert [entry["event"] for _, entry in await log_of(redis_client, "j1")][2:] == ["note"]


@pytest.mark.parametrize("text", ["05", "5.0", "5e0", "0x5", " 5 "])
async def test_a_number_is_stored_as_every_reader_spells_it(
    connection: Connection, caller: Caller, redis_client: Redis, text: str
) -> None:
    first = await connection.append("j1", NOTE, 1, "r", text)
    again = await connection.append("j1", NOTE, 1, "r", "5")
    assert again.entry_id == first.entry_id
    assert (await state_of(redis_client, "j1"))["seq"] == "5"
    assert await number_of_the_bridge(connection) == 5
    found = await find_run(caller, "j1", "r")
    assert found is not None
    assert found.ids[5] == first.entry_id


@pytest.mark.parametrize("text", ["7", *ODD, *ODD_PERCENTS])
async def test_the_progress_that_readers_see_is_the_one_that_a_run_continues_from(
    jobs: jobcast.Jobs, caller: Caller, redis_client: Redis, text: str
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")
    run = jobs.run("j1")
    await run.start()
    await redis_client.hset(STATE, "progress", text)
    reader = Reader(caller)
    seen = await reader.load("j1")
    await run.step("Next")
    following = await reader.load("j1")
    await reader.close()
    assert seen is not None
    assert following is not None
    assert following.progress == seen.progress
    assert (await state_of(redis_client, "j1"))["progress"] == str(seen.progress)
    ((_, entry),) = (await log_of(redis_client, "j1"))[-1:]
    assert json.loads(entry["data"])["progress"] == seen.progress
