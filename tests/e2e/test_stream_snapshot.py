from redis.asyncio import Redis

import jobcast
from tests.support.service import SESSION, Service
from tests.support.sse import Event, watch
from tests.support.stored import cancel, log_of, retry, state_of

NOTHING = {"currentStep": None, "estimatedTimeRemaining": None}


async def snapshot_of(service: Service, job_id: str) -> Event:
    async with watch(service.url, job_id) as stream:
        assert (await stream.next()).name == "connected"
        return await stream.next()


async def last_id_of(redis: Redis, job_id: str) -> str:
    return (await log_of(redis, job_id))[-1][0]


async def test_a_queued_job_is_shown_at_no_progress(
    writer: Service, job_id: str, redis_client: Redis
) -> None:
    assert await snapshot_of(writer, job_id) == Event(
        "progress-update", {"progress": 0, **NOTHING}, await last_id_of(redis_client, job_id)
    )


async def test_a_running_job_is_shown_with_all_that_its_last_report_said(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    last = await run.step("Über…", 40, eta=2.5, phase="x", detail={"n": [1, None]})
    told = {"progress": 40, "currentStep": "Über…", "estimatedTimeRemaining": 2.5}
    assert await snapshot_of(writer, job_id) == Event(
        "progress-update", {**told, "phase": "x", "detail": {"n": [1, None]}}, last
    )


async def test_what_a_later_report_leaves_out_is_null(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40, "Writing", eta=3, phase="x")
    last = await run.progress(50)
    shown = await snapshot_of(service, job_id)
    assert shown == Event("progress-update", {"progress": 50, **NOTHING}, last)


async def test_a_succeeded_job_is_shown_by_its_result_and_the_response_ends(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40)
    last = await run.complete({"text": "ü\n", "none": None})
    async with watch(writer.url, job_id) as stream:
        connected, complete = await stream.rest()
    assert not stream.cut
    assert connected.name == "connected"
    assert complete == Event("complete", {"result": {"text": "ü\n", "none": None}}, last)


async def test_a_failed_job_is_shown_by_its_error_and_the_response_ends(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    last = await run.fail("No disk: »/«", "disk-full")
    async with watch(writer.url, job_id) as stream:
        _, failed = await stream.rest()
    assert not stream.cut
    assert failed == Event("failed", {"error": "No disk: »/«", "errorCode": "disk-full"}, last)


async def test_a_job_that_was_cancelled_in_the_queue_is_shown_as_failed(
    service: Service, job_id: str, redis_client: Redis
) -> None:
    await cancel(redis_client, job_id)
    last = await last_id_of(redis_client, job_id)
    shown = await snapshot_of(service, job_id)
    assert shown == Event("failed", {"error": "Cancelled", "errorCode": None}, last)


async def test_the_id_of_a_snapshot_is_that_of_the_last_entry_even_of_one_that_is_never_sent(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40)
    await run.emit("note", {})
    await cancel(redis_client, job_id)
    entry_id, entry = (await log_of(redis_client, job_id))[-1]
    assert entry["event"] == "_cancel-requested"
    shown = await snapshot_of(service, job_id)
    assert shown == Event("progress-update", {"progress": 40, **NOTHING}, entry_id)


async def test_the_id_of_a_snapshot_may_be_that_of_a_custom_event(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40)
    custom = await run.emit("note", {})
    shown = await snapshot_of(service, job_id)
    assert shown == Event("progress-update", {"progress": 40, **NOTHING}, custom)


async def test_a_retried_job_is_shown_as_if_it_had_just_been_queued(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40, "Writing", eta=3, phase="x")
    await run.fail("No disk", "disk-full")
    await retry(redis_client, job_id)
    entry_id, entry = (await log_of(redis_client, job_id))[-1]
    assert entry["event"] == "_retried"
    shown = await snapshot_of(service, job_id)
    assert shown == Event("progress-update", {"progress": 0, **NOTHING}, entry_id)


async def test_a_late_joiner_gets_the_same_from_memory_as_from_redis(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    run = jobs.run(job_id)
    await run.start()
    async with watch(writer.url, job_id) as watching:
        await watching.until("progress-update")
        last = await run.progress(40, "Writing", eta=3, phase="x")
        assert (await watching.next()).id == last
        async with watch(writer.url, job_id) as late:
            await late.until("progress-update")
    assert late.blocks[-1] == watching.blocks[-1]


async def test_a_snapshot_says_what_the_status_says(
    service: Service, jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    run = jobs.run(job_id)
    await run.start()
    await run.progress(40, "Writing", eta=3, phase="x")
    shown = (await snapshot_of(service, job_id)).data
    async with service.client() as client:
        status = (await client.get(f"/api/v1/jobs/{job_id}/status")).json()
    assert {**status, **shown, "phase": "x"} == {**status, "phase": "x"}
    assert (await state_of(redis_client, job_id))["progress"] == str(shown["progress"])
