"""Jobs that the service puts on a queue of Celery, run by a worker with the adapter."""

from collections.abc import AsyncIterator

import pytest

from app.lifecycle import Service
from eventlog.errors import LogUnavailable
from schema.http import CreateJob
from schema.owner import Owner
from tests.queues.log import CANCELLED, Log
from tests.queues.test_celery import celery_worker
from tests.support.parts import parts
from tests.support.valkey import Valkey

ME = Owner(None, "session-1")
APP = "tests.queues.celery_app"
CELERY = {
    "queue_kind": "celery",
    "queue": "celery",
    "queue_tasks": (f"report={APP}.report", f"broken={APP}.fail"),
}
REPORT = CreateJob("report", {"pages": 3})


@pytest.fixture
async def service(server: Valkey) -> AsyncIterator[Service]:
    async with parts(server.url, **CELERY) as built:
        yield built


async def test_a_task_of_celery_runs_the_attempts_of_a_job(
    service: Service, server: Valkey
) -> None:
    cancelled = await service.jobs.create(ME, REPORT, None)
    await service.jobs.cancel(cancelled)
    queued_twice = await service.jobs.create(ME, REPORT, None)
    await service.jobs._queue.add(queued_twice, 1, "report")
    broken = await service.jobs.create(ME, CreateJob("broken"), None)
    with server.client() as client, celery_worker(server, "--pool=solo") as worker:
        log = Log(client)
        assert (await log.ended(broken))["errorCode"] == "ValueError"
        assert log.state(queued_twice)["result"] == '{"pages":3}'
        # This worker runs one task at a time, so it has had the second message.
        assert worker.log.count(f"report[{queued_twice}-1] received") == 2
        assert worker.log.count(f"report[{queued_twice}-1] succeeded") == 1
        assert log.events(cancelled)[-1] == CANCELLED
        _, state = await service.jobs.owned(ME, broken)
        await service.jobs.retry(broken, state)
        await log.until(broken, lambda now: (now["status"], now["attempt"]) == ("failed", "2"))
        assert f"{broken}-2" in worker.log


async def test_a_broker_that_is_unavailable_is_an_outage(server: Valkey) -> None:
    for away in ("redis://127.0.0.1:1/0", "amqp://127.0.0.1:1//"):
        async with parts(server.url, **CELERY, queue_url=away) as built:
            with pytest.raises(LogUnavailable):
                await built.jobs.create(ME, REPORT, None)
