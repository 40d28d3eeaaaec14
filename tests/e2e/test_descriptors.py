"""A service that runs out of file descriptors: real limits, on both event loops."""

import socket
from contextlib import ExitStack

import httpx
import pytest

import jobcast
from tests.support.service import SESSION, Service
from tests.support.sse import watch
from tests.support.valkey import HOST
from tests.support.waiting import eventually

SOFT, HARD = 40, 90
NONE_LEFT = "no file descriptor is left"
AGAIN = "file descriptors are available again"
LIMITED = ("sh", "-c", f'ulimit -Sn {SOFT}; ulimit -Hn {HARD}; exec "$@"', "sh")


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_a_service_without_descriptors_says_so_and_goes_on(
    redis_url: str, jobs: jobcast.Jobs, job_id: str, loop: str
) -> None:
    options = ("--worker-class", loop)
    with Service(redis_url, under=LIMITED, options=options) as service, ExitStack() as crowd:
        assert f"{HARD} file descriptors (RLIMIT_NOFILE) are too few" in service.log
        async with (
            service.client() as client,
            watch(service.url, job_id) as stream,
            jobs.run(job_id) as run,
        ):
            await stream.until("progress-update")
            assert (await client.get("/healthz")).status_code == 200
            for _ in range(2 * HARD):
                crowd.enter_context(socket.create_connection((HOST, service.port), timeout=5))

            async def is_said() -> bool:
                return NONE_LEFT in service.log

            await eventually(is_said)
            for percent in (10, 20, 30):
                await run.progress(percent)
                while (await stream.next()).data["progress"] != percent:
                    pass
                assert (await client.get("/healthz")).status_code == 200
                assert (await client.get(f"/api/v1/jobs/{job_id}/status")).status_code == 200
            crowd.close()

            async def is_over() -> bool:
                return AGAIN in service.log

            await eventually(is_over)
            headers = {"x-session-id": SESSION}
            async with httpx.AsyncClient(base_url=service.url, headers=headers) as another:
                assert (await another.get("/healthz")).status_code == 200
        assert service.log.count(NONE_LEFT) == service.log.count(AGAIN) == 1
        assert "Traceback" not in service.log


async def test_a_service_with_enough_descriptors_warns_of_nothing(redis_url: str) -> None:
    with Service(redis_url, JOBCAST_STREAMS_PER_PROCESS="10") as service:
        assert "RLIMIT_NOFILE" not in service.log
