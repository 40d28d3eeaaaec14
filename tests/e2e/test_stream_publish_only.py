import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.channel import Channel
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, watch
from tests.support.stored import cancel, ending_of, log_of, retry

RETENTION_S = 86_400


async def publish(redis: Redis, job_id: str, event: str, data: Any) -> None:  # noqa: ANN401
    """Publish as the seed's own worker does: a name and data, and no id."""
    message = json.dumps({"event": event, "data": data}, ensure_ascii=False)
    await redis.publish(f"jobs:{job_id}:events", message)


async def begun(stream: Stream) -> None:
    await stream.until("progress-update")


async def names_in_log(redis: Redis, job_id: str) -> list[str]:
    return [entry["event"] for _, entry in await log_of(redis, job_id)]


async def test_what_is_only_published_comes_live_as_it_is_and_without_an_id(
    writer: Service, job_id: str, redis_client: Redis
) -> None:
    whole = {"progress": 70, "currentStep": "Ü", "estimatedTimeRemaining": 1.5, "phase": "x"}
    async with watch(writer.url, job_id) as stream:
        await begun(stream)
        await publish(redis_client, job_id, "progress-update", whole)
        await publish(redis_client, job_id, "progress-update", {"progress": 30})
        await publish(redis_client, job_id, "step-change", {**whole, "progress": 10})
        await publish(redis_client, job_id, "blog-result", {"title": "Ü 🚀"})
        events = await stream.until("blog-result")
        blocks = stream.blocks[-4:]
    assert [event.data.get("progress") for event in events] == [70, 30, 10, None]
    nothing = {"currentStep": None, "estimatedTimeRemaining": None}
    assert [event.data for event in events] == [
        whole,
        {"progress": 30, **nothing},
        {**whole, "progress": 10},
        {"title": "Ü 🚀"},
    ]
    assert all(block.startswith(b"event: ") for block in blocks)
    assert 'data: {"title": "Ü 🚀"}\n\n'.encode() in stream.body
    assert len(await log_of(redis_client, job_id)) == 1


async def test_what_was_only_published_is_in_no_snapshot_and_moves_no_cursor(
    service: Service, job_id: str, redis_client: Redis
) -> None:
    async with watch(service.url, job_id) as stream:
        first = (await stream.until("progress-update"))[-1]
        await publish(redis_client, job_id, "progress-update", {"progress": 70})
        assert (await stream.next()).id == first.id
        async with watch(service.url, job_id) as late:
            shown = (await late.until("progress-update"))[-1]
    assert (shown.id, shown.data) == (first.id, first.data)


async def test_what_is_only_published_keeps_its_place_among_what_is_appended(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    async with watch(service.url, job_id, last_event_id=first) as stream:
        await run.emit("begin", {})
        await stream.until("begin")  # from here on it is subscribed to
        expected = []
        for number in range(0, 40, 2):
            await run.emit("note", {"n": number})
            await publish(redis_client, job_id, "note", {"n": number + 1})
            expected += [number, number + 1]
        assert [(await stream.next()).data["n"] for _ in expected] == expected


@pytest.mark.parametrize("state", ["queued", "running"])
@pytest.mark.parametrize("ending", ["complete", "failed", "failed with a code", "nothing said"])
async def test_a_published_end_is_appended_once_and_comes_with_an_id(  # noqa: PLR0913, PLR0917 - the cases
    writer: Service,
    jobs: jobcast.Jobs,
    job_id: str,
    redis_client: Redis,
    state: str,
    ending: str,
) -> None:
    event, data = {
        "complete": ("complete", {"result": {"text": "Ü\n"}, "more": 1}),
        "failed": ("failed", {"error": "No disk"}),
        "failed with a code": ("failed", {"error": "No disk", "errorCode": "disk-full"}),
        "nothing said": ("complete", {}),
    }[ending]
    if state == "running":
        await jobs.run(job_id).start()
    async with watch(writer.url, job_id) as one, watch(writer.url, job_id) as other:
        await begun(one)
        await begun(other)
        for _ in range(3):
            await publish(redis_client, job_id, event, data)
        ends = [await stream.rest() for stream in (one, other)]
    log = await log_of(redis_client, job_id)
    assert [entry["event"] for _, entry in log].count(event) == 1
    last_id, last = log[-1]
    for end in ends:
        assert [(e.name, e.id, e.data) for e in end] == [(event, last_id, json.loads(last["data"]))]
    expected = {
        "complete": ("succeeded", '{"text": "Ü\\n"}', None, None),
        "failed": ("failed", None, "No disk", None),
        "failed with a code": ("failed", None, "No disk", "disk-full"),
        "nothing said": ("succeeded", None, None, None),
    }
    assert await ending_of(redis_client, job_id) == expected[ending]
    assert 0 < await redis_client.ttl(f"jobs:{{{job_id}}}:state") <= RETENTION_S
    async with watch(writer.url, job_id, last_event_id=last_id) as again:
        assert again.status == 204


async def test_the_first_of_two_ends_wins(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    async with watch(service.url, job_id) as stream:
        await begun(stream)
        await publish(redis_client, job_id, "failed", {"error": "No disk"})
        events = await stream.rest()
        with pytest.raises(jobcast.JobFinished):
            await run.complete()
    await publish(redis_client, job_id, "complete", {"result": 1})
    assert [event.data for event in events] == [{"error": "No disk", "errorCode": None}]
    assert (await ending_of(redis_client, job_id))[:3] == ("failed", None, "No disk")


async def test_a_published_end_of_a_retried_job_ends_its_new_attempt(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.fail("No disk")
    await retry(redis_client, job_id)
    async with watch(service.url, job_id) as stream:
        await begun(stream)
        await publish(redis_client, job_id, "complete", {"result": 1})
        assert [event.name for event in await stream.rest()] == ["complete"]
    assert (await ending_of(redis_client, job_id))[0] == "succeeded"


@pytest.mark.parametrize(
    ("event", "data", "end"),
    [
        ("complete", {"result": "x" * 1024}, {"result": None}),
        (
            "failed",
            {"error": "\0ä" * 512, "errorCode": "E"},
            {"error": "\0ä" * 32, "errorCode": "E"},
        ),
        (
            "failed",
            {"error": "No disk", "errorCode": "E" * 1024},
            {"error": "No disk", "errorCode": None},
        ),
    ],
)
async def test_a_published_end_that_is_too_large_ends_its_job_all_the_same(  # noqa: PLR0913, PLR0917 - the cases
    service: Service,
    redis_client: Redis,
    redis_url: str,
    event: str,
    data: dict[str, Any],
    end: dict[str, Any],
) -> None:
    async with jobcast.connect(redis_url, max_event_bytes=1024) as jobs:
        job_id = await jobs.create("report", session_id=SESSION)
    async with watch(service.url, job_id) as stream:
        await begun(stream)
        await publish(redis_client, job_id, event, data)
        rest = await stream.rest()
    assert [(each.name, each.data) for each in rest] == [(event, end)]
    assert await names_in_log(redis_client, job_id) == ["_created", event]


async def test_what_is_published_while_a_viewer_connects_does_not_harm_it(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    async def race() -> None:
        job_id = await jobs.create("anything", session_id=SESSION)

        async def work() -> None:
            for number in range(30):
                await publish(redis_client, job_id, "progress-update", {"progress": number})
            while (await ending_of(redis_client, job_id))[0] == "queued":
                await publish(redis_client, job_id, "complete", {"result": 1})

        async with asyncio.TaskGroup() as group:
            group.create_task(work())
            async with watch(service.url, job_id) as stream:
                connected, snapshot, *rest = await stream.rest()
        assert (connected.name, snapshot.id) == (
            "connected",
            (await log_of(redis_client, job_id))[0][0],
        )
        assert [event.name for event in rest].count("complete") == 1
        assert await names_in_log(redis_client, job_id) == ["_created", "complete"]

    for _ in range(10):
        await race()


async def test_a_refused_append_publishes_nothing(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async with (
        Channel(redis_client, f"jobs:{job_id}:events") as channel,
        watch(service.url, job_id) as stream,
    ):
        await begun(stream)
        zombie, run = jobs.run(job_id), jobs.run(job_id)
        await zombie.start()
        await run.start()
        for report in (zombie.progress(50), zombie.emit("note", {}), zombie.complete()):
            with pytest.raises(jobcast.JobSuperseded):
                await report
        await run.complete()
        for report in (run.progress(50), run.emit("note", {}), run.complete(), run.fail("x")):
            with pytest.raises(jobcast.JobFinished):
                await report
        with pytest.raises(Exception, match="NOTCANCELLABLE"):
            await cancel(redis_client, job_id)
        with pytest.raises(Exception, match="NOTFAILED"):
            await retry(redis_client, job_id)
        names = [message["event"] for message in await channel.rest()]
        shown = [event.name for event in await stream.rest()]
    assert names == shown == ["step-change", "step-change", "complete"]
    assert await names_in_log(redis_client, job_id) == ["_created", *names]


async def test_a_mark_on_the_channel_of_a_finished_job_changes_nothing(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async with jobs.run(job_id):
        pass
    await publish(redis_client, job_id, "failed", {"error": "late"})
    async with watch(service.url, job_id) as stream:
        assert [event.name for event in await stream.rest()] == ["connected", "complete"]
