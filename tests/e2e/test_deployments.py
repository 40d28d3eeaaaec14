"""The service on Redis in each form in which people run it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

import jobcast
import jobcast.sync
from jobcast import Run
from tests.support.deployments import FORMS, Deployment, deployment
from tests.support.http_worker import START, HttpWorker, event, new_run, worker_token
from tests.support.sentinels import SentinelSet
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, watch, watch_many
from tests.support.valkey import Valkey
from tests.support.valkey_cluster import SlotMove, ValkeyCluster
from tests.support.waiting import after, eventually

PATIENCE_S = 30.0


@pytest.fixture(params=FORMS)
async def form(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Deployment, Service]]:
    """Return a form of Redis, and a service that has connected to it."""
    at = deployment(request.param, request)
    with Service(at.url) as running:
        await eventually(lambda: is_ready(running))
        yield at, running


async def test_a_job_is_created_watched_and_finished(form: tuple[Deployment, Service]) -> None:
    at, service = form
    async with service.client() as client, jobcast.connect(at.url, progress_per_s=None) as jobs:
        job_id = await created(client)
        async with watch(service.url, job_id) as stream:
            await stream.until("progress-update")
            async with jobs.run(job_id) as run:
                await run.progress(40, "Writing...", eta=30)
                await run.emit("note", {"text": "ü"})
                run.result = {"pages": 3}
            events = await stream.rest()
        names = ["step-change", "progress-update", "note", "complete"]
        assert [event.name for event in events] == names
        async with watch(service.url, job_id, last_event_id=events[0].id) as again:
            assert [event.id for event in (await again.rest())[1:]] == [e.id for e in events[1:]]
        async with watch(service.url, job_id, last_event_id=events[-1].id) as over:
            assert over.status == 204
        status = (await client.get(f"/api/v1/jobs/{job_id}/status")).json()
        assert (status["status"], status["result"]) == ("succeeded", {"pages": 3})
        listed = (await client.get("/api/v1/jobs")).json()["jobs"]
        assert [job["jobId"] for job in listed] == [job_id]


async def test_an_idempotent_creation_a_cancel_a_retry_and_a_worker_by_http(
    form: tuple[Deployment, Service],
) -> None:
    at, service = form
    async with service.client() as client, watch_many(service.url, "mine=active") as mine:
        await mine.next()
        first, second = [await created(client) for _ in range(2)]
        assert first == second
        cancelled = await client.post(f"/api/v1/jobs/{first}/cancel")
        assert cancelled.json() == {"cancelled": True}
        retried = await client.post(f"/api/v1/jobs/{first}/retry")
        assert retried.json() == {"jobId": first}
        status = (await client.get(f"/api/v1/jobs/{first}/status")).json()
        assert status["status"] == "queued"
        events = [await mine.next() for _ in range(5)]
        names = ("progress-update", "failed", "left", "reset", "progress-update")
        assert [(event.name, event.data["jobId"]) for event in events] == [
            (name, first) for name in names
        ]
        async with HttpWorker(service, worker_token(jobType="report")) as worker:
            await worker.send(first, new_run(), START, event(2, "complete"), attempt=2)
        status = (await client.get(f"/api/v1/jobs/{first}/status")).json()
        assert status["status"] == "succeeded"
        events = [await mine.next() for _ in range(3)]
        assert [event.name for event in events] == ["step-change", "complete", "left"]
        async with jobcast.connect(at.url) as jobs:
            by_library = await jobs.create("report", session_id=SESSION)
        assert (await mine.next()).data["jobId"] == by_library
        with jobcast.sync.connect(at.url) as blocking:
            by_blocking = await asyncio.to_thread(blocking.create, "report", session_id=SESSION)
        assert (await mine.next()).data["jobId"] == by_blocking


async def created(client: httpx.AsyncClient) -> str:
    """Create a job under a key, as often as a busy machine has no answer in time; return its id."""
    answers: list[httpx.Response] = []

    async def is_answered() -> bool:
        key = {"Idempotency-Key": "k"}
        answers.append(await client.post("/api/v1/jobs", json={"type": "report"}, headers=key))
        return answers[-1].status_code != 503

    await eventually(is_answered)
    assert answers[-1].status_code == 201
    job_id: str = answers[-1].json()["jobId"]
    return job_id


async def is_ready(service: Service) -> bool:
    async with service.client() as client:
        return (await client.get("/readyz")).status_code == 200


class Story:
    """A worker that tells of one job, and a viewer that has to see each event of it once."""

    def __init__(self, service: Service, run: Run, stream: Stream) -> None:
        self.service = service
        self.run = run
        self.stream = stream
        self._count = 0

    async def goes_on(self) -> None:
        """Emit an event and see that it is the next one that is shown."""
        self._count += 1
        number = self._count
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    await self.run.emit("note", {"number": number})
                except jobcast.JobcastError:
                    raise
                except Exception:  # noqa: BLE001 - Redis is unavailable, in one of many ways
                    await after(0.1)
                else:
                    break
            shown = (await self.stream.next(PATIENCE_S)).data["number"]
            while shown == number - 1:  # an append that was written although its answer was lost
                shown = (await self.stream.next(PATIENCE_S)).data["number"]
        assert shown == number

    async def is_served(self) -> None:
        """See that many requests at once are answered, and soon none of them by a 503."""
        async with self.service.client() as client:

            async def none_is_refused() -> bool:
                calls = [client.get(f"/api/v1/jobs/{self.run.job_id}/status") for _ in range(8)]
                calls += [client.get("/api/v1/jobs") for _ in range(8)]
                given = {answer.status_code for answer in await asyncio.gather(*calls)}
                assert given <= {200, 503}
                return given == {200}

            await eventually(none_is_refused, PATIENCE_S)


async def follow_failovers_of_sentinels(sentinels: SentinelSet, story: Story) -> None:
    await asyncio.to_thread(sentinels.failover)
    await story.goes_on()
    await asyncio.to_thread(sentinels.until_ok)
    await story.goes_on()
    until_replicated(sentinels.primary())
    sentinels.primary().kill()
    await story.goes_on()
    await asyncio.to_thread(sentinels.restart)
    until_replicated(sentinels.primary())
    await story.is_served()
    sentinels.primary().pause()
    await story.goes_on()
    await story.is_served()
    await asyncio.to_thread(sentinels.restart)
    await story.goes_on()


async def follow_a_cluster_that_changes(cluster: ValkeyCluster, story: Story) -> None:
    key = f"{{{story.run.job_id}}}"
    await asyncio.to_thread(cluster.move_slot, key)
    await story.goes_on()
    with SlotMove(cluster, key) as move:
        await story.goes_on()
        move.move_keys()
        await story.goes_on()
        await story.goes_on()
    await story.goes_on()
    await asyncio.to_thread(cluster.failover, key)
    await story.goes_on()
    until_replicated(cluster.owner_of(key), key)
    cluster.owner_of(key).kill()
    await story.goes_on()
    await asyncio.to_thread(cluster.restart)
    until_replicated(cluster.owner_of(key), key)
    await story.is_served()
    cluster.owner_of(key).pause()
    await story.goes_on()
    await story.is_served()
    await asyncio.to_thread(cluster.restart)
    await story.goes_on()


def until_replicated(primary: Valkey, key: str = "") -> None:
    """Wait until the replicas have what the primary has."""
    with primary.client() as client:
        client.set(f"{key}written-last", "1")
        assert client.wait(len(primary.ask("ROLE")[2]), 4000)


@pytest.mark.timeout(120)
async def test_a_viewer_sees_each_event_over_failovers_of_sentinels(sentinels: SentinelSet) -> None:
    async with told(sentinels.url) as story:
        await follow_failovers_of_sentinels(sentinels, story)


@pytest.mark.timeout(120)
async def test_a_viewer_sees_each_event_while_slots_move_and_nodes_fail(
    cluster: ValkeyCluster,
) -> None:
    async with told(cluster.url) as story:
        await follow_a_cluster_that_changes(cluster, story)


@pytest.mark.timeout(120)
async def test_a_viewer_sees_each_event_after_a_whole_cluster_was_away(
    cluster: ValkeyCluster,
) -> None:
    async with told(cluster.url) as story:
        await story.goes_on()
        for node in cluster.nodes:
            node.kill()
        await after(2)
        await asyncio.to_thread(cluster.restart)
        await story.goes_on()


@asynccontextmanager
async def told(url: str) -> AsyncIterator[Story]:
    """Start a service, a run and a viewer; at the end the viewer has to see the end of the job."""
    with Service(url) as service:
        await eventually(lambda: is_ready(service))
        async with jobcast.connect(f"{url}?socket_timeout=2", progress_per_s=None) as jobs:
            job_id = await jobs.create("report", session_id=SESSION)
            run = jobs.run(job_id)
            first = await run.start()
            async with watch(service.url, job_id, last_event_id=first) as stream:
                await stream.next()
                yield Story(service, run, stream)
                await run.complete()
                assert (await stream.rest())[-1].name == "complete"
