"""The append script, the library and the service agree on what a worker may call an event."""

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import jobcast
from jobcast.protocol.append import SCRIPT
from schema.events import is_custom_name
from tests.support.stored import log_of

NAMES = (
    *("connected", "reset", "ping", "left", "message", "error", "open"),
    *("progress-update", "step-change", "complete", "failed"),
    *("chunk", "artifact", "input-requested", "child-", "child-done", "child-a-b"),
    *("log", "note", "child", "children", "chunks", "pings", "reset-1", "lef", "artifact-2"),
    *("", "Note", "-a", "a b", "a\n", "é", "_created", "a" * 64, "a" * 65),
    *("%a", "a.", "ping ", " ping", "reset ping"),
)


@pytest.mark.parametrize("name", NAMES)
async def test_the_script_takes_the_names_that_the_service_takes(
    name: str, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", session_id="s1", job_id="j1")
    await jobs.run("j1").start()
    before = await log_of(redis_client, "j1")
    emit = redis_client.register_script(SCRIPT)(
        keys=["jobs:{j1}:log", "jobs:{j1}:state"],
        args=["PUBLISH", "emit", "", "", name, '{"n":1}', "", "0"],
    )
    if is_custom_name(name):
        entry_id = (await emit)[0]
        assert await log_of(redis_client, "j1", before[-1][0]) == [
            (entry_id, {"event": name, "data": '{"n":1}'})
        ]
    else:
        with pytest.raises(ResponseError, match=r"BADEVENT.*reserved or malformed"):
            await emit
        assert await log_of(redis_client, "j1") == before


async def test_a_line_of_a_log_is_a_custom_event_whatever_it_holds(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    await jobs.create("report", session_id="s1", job_id="j1")
    run = jobs.run("j1")
    await run.start()
    lines: list[dict[str, object]] = [
        {"text": "Reading", "level": "info", "time": "2026-11-29T09:00:00Z", "thread": 3},
        {"text": "Ü\n", "level": "shout"},
        {},
    ]
    ids = [await run.emit("log", line) for line in lines]
    assert [entry_id for entry_id, _ in (await log_of(redis_client, "j1"))[-3:]] == ids
