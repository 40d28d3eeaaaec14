import asyncio
import json
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.service import Service
from tests.support.sse import watch
from tests.support.stored import log_of

MEBIBYTE = 1024 * 1024


def line(data: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


async def test_events_come_named_with_bare_data_and_their_ids_in_order(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(writer.url, job_id) as stream:
        await stream.until("progress-update")
        before = len(stream.blocks)
        run = jobs.run(job_id)
        ids = [
            await run.start(),
            await run.progress(40, "Writing...", eta=30),
            await run.step("Reading", 10, 2.5),
            await run.emit("blog-result", {"title": "x"}),
            await run.complete({"ok": True}),
        ]
        await stream.rest()
    assert stream.blocks[before:] == [
        b"id: %b\nevent: %b\ndata: %b\n\n" % (entry_id.encode(), name, line(data))
        for entry_id, (name, data) in zip(
            ids,
            [
                (
                    b"step-change",
                    {"progress": 0, "currentStep": None, "estimatedTimeRemaining": None},
                ),
                (
                    b"progress-update",
                    {"progress": 40, "currentStep": "Writing...", "estimatedTimeRemaining": 30},
                ),
                (
                    b"step-change",
                    {"progress": 10, "currentStep": "Reading", "estimatedTimeRemaining": 2.5},
                ),
                (b"blog-result", {"title": "x"}),
                (b"complete", {"result": {"ok": True}}),
            ],
            strict=True,
        )
    ]


async def test_unicode_and_line_breaks_arrive_as_the_worker_wrote_them(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    text = "é 🚀 \u2028\u2029\x85 a\nid: 9-9\n\nevent: complete\r\ndata: {} C:\\users \x01\x7f \"'"
    data: dict[str, Any] = {
        "text": text,
        "ключ\n": [1.0, -0.5, 12345678901234567890, None, True, {}],
    }
    async with watch(writer.url, job_id) as stream:
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        await run.progress(1, text, more=data)
        progress = await stream.until("progress-update")
        await run.emit("note", data)
        note = await stream.until("note")
        raw = stream.blocks[-1].splitlines(keepends=True)
    assert progress[-1].data["currentStep"] == text
    assert progress[-1].data["more"] == data
    assert note[-1].data == data
    assert "é 🚀 \u2028".encode() in b"".join(raw)
    assert stream.body.count(b"event: complete\n") == 0
    assert b"\r" not in stream.body


async def test_custom_data_is_forwarded_byte_for_byte(
    writer: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    data = {"b": 1.0, "a": [1e25, 0.1, -0.0, 10**30], "": {"ü": "\u2028"}, "event": "complete"}
    async with watch(writer.url, job_id) as stream:
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        for name in ("a", "note-2", "x" * 64, "progress", "result"):
            entry_id = await run.emit(name, data)
            await stream.until(name)
            expected = f"id: {entry_id}\nevent: {name}\ndata: ".encode() + line(data) + b"\n\n"
            assert stream.blocks[-1] == expected


async def test_further_fields_of_a_report_pass_through(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        await stream.next()
        await run.progress(5, phase="draft", detail={"pages": [1, 2]})
        assert (await stream.next()).data == {
            "progress": 5,
            "currentStep": None,
            "estimatedTimeRemaining": None,
            "phase": "draft",
            "detail": {"pages": [1, 2]},
        }


async def test_a_lower_progress_is_raised_except_by_a_step(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        await stream.next()
        await run.progress(60)
        await run.progress(20)
        await run.step("Again", 10)
        await run.progress(5)
        progress = [(await stream.next()).data["progress"] for _ in range(4)]
    assert progress == [60, 60, 10, 10]


async def test_a_takeover_is_shown_as_a_start(
    service: Service, jobs: jobcast.Jobs, job_id: str
) -> None:
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        first, second = jobs.run(job_id), jobs.run(job_id)
        await first.start()
        await first.progress(60)
        await second.start()
        with pytest.raises(jobcast.JobSuperseded):
            await first.progress(70)
        await second.complete()
        events = await stream.rest()
    names = ["step-change", "progress-update", "step-change", "complete"]
    assert [event.name for event in events] == names
    assert events[2].data["progress"] == 0


@pytest.mark.parametrize("kind", ["emit", "progress", "step", "complete"])
async def test_the_largest_event_arrives_whole(
    writer: Service, jobs: jobcast.Jobs, job_id: str, kind: str
) -> None:
    async with watch(writer.url, job_id) as stream:
        await stream.until("progress-update")
        run = jobs.run(job_id)
        await run.start()
        await stream.next()
        sent = await _append_largest(run, kind)
        event = await stream.next()
        assert len(line(event.data)) > MEBIBYTE - 64
    assert event.id == sent
    async with watch(writer.url, job_id) as late:
        assert (await late.next()).name == "connected"
        shown = await late.next()
    assert shown.id == sent
    if kind != "emit":
        assert shown.data == event.data


async def _append_largest(run: jobcast.Run, kind: str) -> str:
    """Append the largest event of a kind that is not refused."""
    calls = {
        "emit": lambda text: run.emit("note", {"x": text}),
        "progress": lambda text: run.progress(100, x=text),
        "step": lambda text: run.step("s", 100, x=text),
        "complete": lambda text: run.complete({"x": text}),
    }
    for spare in range(200):
        try:
            return await calls[kind]("x" * (MEBIBYTE - spare))
        except jobcast.InvalidEvent:
            continue
    raise AssertionError("every size was refused")


async def test_a_burst_reaches_every_viewer_whole_and_in_order(
    writer: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async def read() -> list[str]:
        async with watch(writer.url, job_id) as stream:
            await stream.until("progress-update")
            ready.release()
            return [event.id for event in await stream.rest()]

    ready = asyncio.Semaphore(0)
    viewers = [asyncio.create_task(read()) for _ in range(5)]
    for _ in viewers:
        await ready.acquire()
    async with jobs.run(job_id) as run:
        for number in range(600):
            await (run.emit("note", {"n": number}) if number % 3 else run.progress(number // 6))
    _created, *sent = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    assert [await viewer for viewer in viewers] == [sent] * 5


@pytest.mark.parametrize("kind", ["emit", "progress", "complete"])
async def test_data_as_deep_as_a_worker_may_send_it_arrives(
    service: Service, jobs: jobcast.Jobs, job_id: str, kind: str
) -> None:
    run = jobs.run(job_id)
    first = await run.start()
    async with asyncio.TaskGroup() as group:
        live = group.create_task(_deepest(service, job_id, first))
        sent = await _append_deepest(run, kind)
    missed = await _deepest(service, job_id, first)
    assert live.result() == missed
    assert missed.startswith(f"id: {sent}\n".encode())
    if kind != "emit":
        assert await _deepest(service, job_id, None) in {missed, missed.replace(b"step-", b"")}


async def _deepest(service: Service, job_id: str, cursor: str | None) -> bytes:
    """Return the block that holds deep data, without taking it apart."""
    headers = {} if cursor is None else {"Last-Event-ID": cursor}
    body = b""
    async with service.client() as client:
        target = f"/api/v1/jobs/{job_id}/stream"
        async with client.stream("GET", target, headers=headers) as response:
            async for part in response.aiter_bytes():
                body += part
                if b'{"a":{"a":' in body and body.endswith(b"}\n\n"):
                    break
    return body.split(b"\n\n")[-2]


async def _append_deepest(run: jobcast.Run, kind: str) -> str:
    """Append the deepest event of a kind that is not refused."""
    for depth in range(1000, 0, -1):
        data: dict[str, Any] = {}
        for _ in range(depth):
            data = {"a": data}
        try:
            match kind:
                case "emit":
                    return await run.emit("note", data)
                case "progress":
                    return await run.progress(5, x=data)
                case _:
                    return await run.complete(data)
        except jobcast.InvalidEvent:
            continue
    raise AssertionError("every depth was refused")
