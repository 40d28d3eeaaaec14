import jobcast
from tests.support.service import Service
from tests.support.sse import watch


async def test_a_viewer_sees_a_job_from_its_start_to_its_end(
    writer: Service, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("anything", session_id="session-1")
    async with watch(writer.url, job_id) as stream:
        assert (await stream.next()).name == "connected"
        assert (await stream.next()).data["progress"] == 0
        async with jobs.run(job_id) as run:
            await run.progress(40, "Writing…", eta=30)
            run.result = {"ok": "ü"}
        events = await stream.rest()
    assert [event.name for event in events] == ["step-change", "progress-update", "complete"]
    assert not stream.cut
