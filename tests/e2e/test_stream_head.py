import json
import re

import pytest

import jobcast
from tests.support.service import SESSION, Service, token
from tests.support.sse import Stream, request, watch

HEADERS = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
    "connection": "keep-alive",
    "transfer-encoding": "chunked",
}


async def begun(stream: Stream) -> None:
    await stream.received(b"event: progress-update")


async def test_the_head_is_what_the_contract_says_and_no_more(writer: Service, job_id: str) -> None:
    asked = {"Accept-Encoding": "gzip, deflate, br", "Accept": "text/event-stream"}
    async with watch(writer.url, job_id, headers=asked) as stream:
        await begun(stream)
    assert re.match(rb"HTTP/1\.1 200 [^\r]*\r\n", stream.raw_head)
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", stream.headers.pop("date"))
    assert stream.headers == HEADERS
    assert stream.raw_head.count(b"\r\n") == len(HEADERS) + 3


async def test_the_body_begins_with_a_comment_and_connected_without_an_id(
    writer: Service, job_id: str
) -> None:
    async with watch(writer.url, job_id) as stream:
        await begun(stream)
    comment, connected, snapshot = stream.blocks
    assert comment == b": ok\n\n"
    name, data, *end = connected.split(b"\n")
    assert (name, end) == (b"event: connected", [b"", b""])
    shown = json.loads(data.removeprefix(b"data: "))
    assert shown.pop("connectionId")
    assert shown == {"jobId": job_id, "maxAgeSeconds": 600, "keepaliveSeconds": 15}
    assert snapshot.startswith(b"id: ")


async def test_every_connection_has_its_own_id(service: Service, job_id: str) -> None:
    async with watch(service.url, job_id) as first, watch(service.url, job_id) as second:
        ids = {(await stream.next()).data["connectionId"] for stream in (first, second)}
    assert len(ids) == 2


async def test_both_spellings_of_the_path_reach_the_stream(writer: Service, job_id: str) -> None:
    for target in (f"/api/v1/jobs/{job_id}/stream", f"/api/v1/jobs/{job_id}/stream/"):
        async with request(writer.url, target, headers={"x-session-id": SESSION}) as stream:
            assert stream.status == 200
            assert (await stream.next()).name == "connected"


async def test_an_upper_case_uuid_reaches_the_same_job(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(service.url, job_id.upper()) as stream:
        assert (await stream.next()).data["jobId"] == job_id
        async with jobs.run(job_id):
            pass
        assert [event.name for event in await stream.rest()][-1] == "complete"


async def test_an_event_source_can_say_who_it_is_in_the_query(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    of_user = await jobs.create("anything", user_id="user-1")
    for target in (
        f"/api/v1/jobs/{job_id}/stream?sessionId={SESSION}&further=1",
        f"/api/v1/jobs/{job_id}/stream/?sessionid={SESSION}",
        f"/api/v1/jobs/{of_user}/stream?token={token()}",
    ):
        async with request(service.url, target) as stream:
            assert stream.status == 200
            assert (await stream.next()).name == "connected"


@pytest.mark.parametrize("asked", [{}, {"Connection": "keep-alive"}], ids=["plain", "keep-alive"])
async def test_http_1_0_gets_an_unchunked_stream_that_ends_by_close(
    writer: Service, jobs: jobcast.Jobs, job_id: str, asked: dict[str, str]
) -> None:
    async with watch(writer.url, job_id, version="1.0", headers=asked) as stream:
        await begun(stream)
        async with jobs.run(job_id) as run:
            await run.emit("note", {"text": "é" * 1000})
        names = [event.name for event in await stream.rest()]
        assert names == ["connected", "progress-update", "step-change", "note", "complete"]
    assert "transfer-encoding" not in stream.headers
    assert stream.headers["connection"].lower() == "close"
    assert stream.raw_head.lower().count(b"\r\nconnection:") == 1
    assert b"".join(stream.blocks) == stream.body
    assert all(re.match(rb"(: ok|id: |event: connected)", block) for block in stream.blocks)


async def test_http_1_0_gets_a_finished_job_in_the_same_way(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with jobs.run(job_id):
        pass
    async with watch(writer.url, job_id, version="1.0") as stream:
        assert [event.name for event in await stream.rest()] == ["connected", "complete"]
    assert b"".join(stream.blocks) == stream.body


@pytest.mark.parametrize("finished", [False, True], ids=["open", "finished"])
async def test_head_gets_the_same_head_and_ends(
    writer: Service, jobs: jobcast.Jobs, job_id: str, *, finished: bool
) -> None:
    if finished:
        async with jobs.run(job_id):
            pass
    async with watch(writer.url, job_id) as shown:
        assert shown.status == 200
    async with watch(writer.url, job_id, method="HEAD") as stream:
        assert stream.headers | {"date": ""} == shown.headers | {"date": ""}
        await stream.send_on("GET", "/healthz")  # a body would stand before its answer
        assert (stream.status, stream.headers["content-type"]) == (200, "application/json")


async def test_a_client_that_asks_for_close_gets_chunks_and_a_close(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(writer.url, job_id, headers={"Connection": "close"}) as stream:
        await begun(stream)
        async with jobs.run(job_id):
            pass
        assert [event.name for event in await stream.rest()][-1] == "complete"
        assert not stream.cut
        assert await stream.closed_by_server()
