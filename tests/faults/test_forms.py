"""A worker of the scenarios reports alike by each form of the library."""

import pytest
from redis.asyncio import Redis

import jobcast
from tests.faults.forms import ADAPTER, FORMS, Call, Form, opened
from tests.support.stored import log_of, state_of


async def job_of(url: str) -> str:
    async with jobcast.connect(url) as jobs:
        return await jobs.create("anything", session_id="s1")


async def reported(call: Call) -> list[str]:
    return [
        await call("start"),
        await call("progress", 40, "Part 1", n=1),
        await call("step", "Step 2", progress=50, n=2),
        await call("emit", "note", {"n": 3}),
        await call("complete", {"n": 4}),
    ]


@pytest.mark.parametrize("form", FORMS)
async def test_each_form_writes_the_same(form: Form, redis_url: str, redis_client: Redis) -> None:
    job_id = await job_of(redis_url)
    async with opened(form, redis_url, job_id, lease_s=60, block_s=5) as call:
        ids = await reported(call)
    log = dict(await log_of(redis_client, job_id))
    assert [log[each]["event"] for each in ids[1:]] == [
        "progress-update",
        "step-change",
        "note",
        "complete",
    ]
    state = await state_of(redis_client, job_id)
    assert (state["status"], state["last"]) == ("succeeded", ids[-1])


async def test_a_task_of_an_adapter_writes_it_too_and_is_left_as_it_is(
    redis_url: str, redis_client: Redis
) -> None:
    job_id = await job_of(redis_url)
    async with opened(ADAPTER, redis_url, job_id, lease_s=60, block_s=5) as call:
        assert await call("start") == ""
        assert await call("emit", "note", {"n": 1})
    assert (await state_of(redis_client, job_id))["status"] == "running"
    async with opened(ADAPTER, redis_url, job_id, lease_s=60, block_s=5) as call:
        start, *ids, end = await reported(call)
    assert (start, end) == ("", "")
    names = ["step-change", "progress-update", "step-change", "note", "complete"]
    log = await log_of(redis_client, job_id)
    assert [fields["event"] for _, fields in log[-5:]] == names
    assert [entry_id for entry_id, _ in log[-4:-1]] == ids
    assert (await state_of(redis_client, job_id))["result"] == '{"n":4}'


@pytest.mark.parametrize("form", FORMS)
async def test_a_refusal_has_the_same_error_in_each_form(form: Form, redis_url: str) -> None:
    job_id = await job_of(redis_url)
    async with opened(form, redis_url, job_id, lease_s=60, block_s=5) as call:
        await reported(call)
        with pytest.raises(jobcast.JobFinished):
            await call("emit", "note", {"n": 5})
