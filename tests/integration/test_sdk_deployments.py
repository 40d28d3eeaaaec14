"""The worker library on Redis as people run it."""

import pytest

import jobcast
from tests.support.deployments import FORMS, Deployment, deployment
from tests.support.whole_run import whole_run


@pytest.fixture(params=FORMS)
def redis(request: pytest.FixtureRequest) -> Deployment:
    return deployment(request.param, request)


async def test_a_run_is_logged_published_and_indexed(redis: Deployment) -> None:
    async with jobcast.connect(redis.url, progress_per_s=None) as jobs:
        job_id = await jobs.create("report", user_id="u1", session_id="s1")
        with whole_run(redis, job_id):
            async with jobs.run(job_id) as run:
                await run.progress(40, "Writing...", eta=30)
                await run.emit("note", {"text": "é"})
                run.result = {"pages": 12}
