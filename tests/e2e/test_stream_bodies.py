"""What arrives is the events' bytes and nothing else, whatever stands in between."""

import json
import re
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.needs import NGINX
from tests.support.nginx import BINARY, Nginx
from tests.support.service import Service
from tests.support.sse import request, watch
from tests.support.stored import log_of
from tests.support.waiting import eventually

WAYS_TO_ASK = {
    "1.1": ("1.1", {}),
    "1.1 close": ("1.1", {"Connection": "close"}),
    "1.0": ("1.0", {}),
    "1.0 keep-alive": ("1.0", {"Connection": "keep-alive"}),
    "1.0 close": ("1.0", {"Connection": "close"}),
}


@pytest.fixture
def nginx(writer: Service) -> Iterator[Nginx]:
    """Return an nginx of default settings in front of a service with each way of writing.

    Where there is none the test is skipped.
    """
    if BINARY is None:
        pytest.skip(NGINX)
    with Nginx(writer.url) as running:
        yield running


async def work(jobs: jobcast.Jobs, job_id: str) -> None:
    """Let a job send what is hard to carry: much at once, and bytes that look like framing."""
    async with jobs.run(job_id) as run:
        await run.progress(10, "é 🚀", eta=1.5)
        await run.emit("note", {"text": "0\r\n\r\n5\r\nHTTP/1.1 200 OK\r\n\r\n"})
        await run.emit("note", {"text": "x" * 150_000})
        for number in range(50):
            await run.emit("note", {"n": number})


def compact(data: object) -> str:
    return json.dumps(data, separators=(",", ":"))


async def expected(job_id: str, redis: Redis) -> bytes:
    """Return the body of a viewer of the queued job, made from the log alone."""
    (first, _), *log = await log_of(redis, job_id)
    connected = {"connectionId": "", "jobId": job_id, "maxAgeSeconds": 600, "keepaliveSeconds": 15}
    nothing = {"progress": 0, "currentStep": None, "estimatedTimeRemaining": None}
    blocks = [
        ": ok\n\n",
        f"event: connected\ndata: {compact(connected)}\n\n",
        f"id: {first}\nevent: progress-update\ndata: {compact(nothing)}\n\n",
        *(f"id: {number}\nevent: {e['event']}\ndata: {e['data']}\n\n" for number, e in log),
    ]
    return "".join(blocks).encode()


def plain(body: bytes) -> bytes:
    """Return a body without what is random in it."""
    return re.sub(rb'"connectionId":"\w+"', b'"connectionId":""', body, count=1)


@pytest.mark.parametrize("asked", WAYS_TO_ASK)
async def test_the_body_is_the_log_byte_for_byte(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis, asked: str
) -> None:
    version, headers = WAYS_TO_ASK[asked]
    async with watch(writer.url, job_id, version=version, headers=headers) as stream:
        await stream.until("progress-update")
        await work(jobs, job_id)
        await stream.rest()
        assert not stream.cut
        if asked != "1.1":
            assert await stream.closed_by_server()
    assert plain(stream.body) == await expected(job_id, redis_client)


@pytest.mark.parametrize("version", ["1.1", "1.0"])
@pytest.mark.parametrize("finished", [False, True], ids=["open", "finished"])
async def test_an_answer_to_head_has_no_byte_of_a_body(
    writer: Service, jobs: jobcast.Jobs, job_id: str, version: str, *, finished: bool
) -> None:
    if finished:
        await work(jobs, job_id)
    close = {"Connection": "close"}
    async with watch(writer.url, job_id, method="HEAD", version=version, headers=close) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert await stream.closed_by_server()


async def test_what_is_no_stream_is_as_long_over_http_1_0_as_it_says(
    writer: Service, job_id: str
) -> None:
    for target, status in ((f"/api/v1/jobs/{job_id}/stream", 401), ("/healthz", 200)):
        async with request(writer.url, target, version="1.0") as answer:
            await answer.rest()
            assert (answer.status, answer.body[-1:]) == (status, b"}")
            assert len(answer.body) == int(answer.headers["content-length"])
            assert await answer.closed_by_server()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_an_nginx_with_default_settings_passes_every_byte_on_as_it_comes(
    nginx: Nginx, jobs: jobcast.Jobs, job_id: str, redis_client: Redis, version: str
) -> None:
    async with watch(nginx.url, job_id, version=version) as stream:
        assert stream.headers["content-type"] == "text/event-stream"
        await stream.until("progress-update")
        run = jobs.run(job_id)
        assert await run.start() == (await stream.next()).id
        assert await run.emit("note", {}) == (await stream.next()).id
        await work(jobs, job_id)
        last = (await stream.rest())[-1].id
        assert not stream.cut
    assert plain(stream.body) == await expected(job_id, redis_client)
    async with watch(nginx.url, job_id, last_event_id=last) as again:
        assert again.status == 204


async def test_an_nginx_with_default_settings_gets_no_body_for_head(
    nginx: Nginx, job_id: str
) -> None:
    async with watch(nginx.url, job_id, method="HEAD") as stream:
        assert stream.status == 200
        await stream.send_on("GET", "/healthz")
        assert (stream.status, stream.headers["content-type"]) == (200, "application/json")


async def test_behind_an_nginx_with_default_settings_a_viewer_that_leaves_is_missed(
    nginx: Nginx, writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async def one_left() -> bool:
        return (await writer.metrics())["jobcast_streams"] == 1

    async with watch(nginx.url, job_id) as leaving, watch(nginx.url, job_id) as staying:
        await leaving.until("progress-update")
        await staying.until("progress-update")
        leaving.close()
        await eventually(one_left)
        async with jobs.run(job_id):
            pass
        assert [event.name for event in await staying.rest()] == ["step-change", "complete"]
