"""A service that has no queue: workers create their jobs themselves."""

from redis.asyncio import Redis

import jobcast
from tests.support.calls import call, status_of
from tests.support.service import SESSION, Service
from tests.support.sse import watch


async def test_jobs_of_the_library_are_served_and_none_is_taken_over_http(
    redis_url: str, redis_client: Redis, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("report", session_id=SESSION)
    with Service(redis_url, JOBCAST_QUEUE_KIND="none") as service:
        async with service.client() as client:
            before = sorted(await redis_client.keys())
            refused = await call(client, "create", headers={"Idempotency-Key": "k1"})
            assert (refused.status_code, refused.json()["code"]) == (400, "NO_QUEUE")
            assert sorted(await redis_client.keys()) == before
            async with watch(service.url, job_id, session=SESSION) as stream:
                async with jobs.run(job_id) as run:
                    await run.fail("No paper")
                await stream.until("failed")
            before = sorted(await redis_client.keys())
            refused = await call(client, "retry", job_id)
            assert (refused.status_code, refused.json()["code"]) == (400, "NO_QUEUE")
            assert sorted(await redis_client.keys()) == before
            assert (await status_of(client, job_id))["attempt"] == 1
            waiting = await jobs.create("report", session_id=SESSION)
            assert (await call(client, "cancel", waiting)).status_code == 200
