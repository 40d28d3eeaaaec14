import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

import jobcast
from jobcast.protocol.append import SCRIPT
from tests.support.service import SESSION, Service
from tests.support.sse import Stream, watch
from tests.support.stored import log_of

DROPPED = "jobcast_publications_dropped_total"
MEBIBYTE = 1024 * 1024


def custom(data: bytes, name: bytes = b"note") -> bytes:
    return b'{"event":"%b","data":%b}' % (name, data)


def nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


NOT_A_MESSAGE = {
    "nothing": b"",
    "not JSON": b"hello",
    "half": b'{"event":"note","data":{',
    "null": b"null",
    "number": b"5",
    "string": b'"note"',
    "array": b'[{"event":"note","data":{}}]',
    "empty object": b"{}",
    "two values": custom(b"{}") + custom(b"{}"),
    "byte order mark": b"\xef\xbb\xbf" + custom(b"{}"),
    "UTF-16": custom(b"{}").decode().encode("utf-16"),
    "single quotes": b"{'event':'note','data':{}}",
    "NUL": b"\0" * 100,
    "event alone": b'{"event":"note"}',
    "data alone": b'{"data":{}}',
    "event null": b'{"event":null,"data":{}}',
    "event number": b'{"event":5,"data":{}}',
    "event array": b'{"event":["note"],"data":{}}',
    "data null": custom(b"null"),
    "data number": custom(b"5"),
    "data array": custom(b"[]"),
    "data string": custom(b'"{"'),
    "id number": b'{"event":"note","data":{},"id":5}',
    "id word": b'{"event":"note","data":{},"id":"last"}',
    "id with LF": b'{"event":"note","data":{},"id":"1-1\\nevent: complete"}',
    "id with trailing LF": b'{"event":"note","data":{},"id":"1-1\\n"}',
    "prev array": b'{"event":"note","data":{},"id":"1-1","prev":[]}',
}
BAD_NAME = {
    name.decode("latin-1"): custom(b"{}", name)
    for name in (
        *(b"", b"connected", b"message", b"error", b"open", b"_created", b"_checkpoint", b"Note"),
        *(b"9lives", b"-note", b"a b", b"note\\n", b"note\\r", b"note\\nid: 9-9", b"n\\u00f6te"),
        *(b"a" * 65, b"note\\u2028", b"note\\u0000", b"note:"),
    )
}
BAD_DATA = {
    "progress missing": custom(b"{}", b"progress-update"),
    "progress null": custom(b'{"progress":null}', b"progress-update"),
    "progress text": custom(b'{"progress":"5"}', b"progress-update"),
    "progress true": custom(b'{"progress":true}', b"progress-update"),
    "progress fraction": custom(b'{"progress":5.5}', b"progress-update"),
    "progress below": custom(b'{"progress":-1}', b"progress-update"),
    "progress above": custom(b'{"progress":101}', b"step-change"),
    "progress huge": custom(b'{"progress":1e999}', b"step-change"),
    "step number": custom(b'{"progress":5,"currentStep":5}', b"step-change"),
    "eta text": custom(b'{"progress":5,"estimatedTimeRemaining":"1"}', b"step-change"),
    "eta negative": custom(b'{"progress":5,"estimatedTimeRemaining":-1}', b"step-change"),
    "progress array": custom(b"[5]", b"progress-update"),
    "complete array": custom(b"[]", b"complete"),
    "complete null": custom(b"null", b"complete"),
    "failed without": custom(b"{}", b"failed"),
    "failed number": custom(b'{"error":5}', b"failed"),
    "failed code": custom(b'{"error":"x","errorCode":5}', b"failed"),
}
BAD_TEXT = {
    "LF in text": custom(b'{"x":"a\nid: 9-9\n\nevent: complete\ndata: {}\n\n"}'),
    "CR in text": custom(b'{"x":"a\rdata: b"}'),
    "NUL in text": custom(b'{"x":"a\0"}'),
    "lone surrogate in a name": custom(b"{}", b"\\ud800"),
    "bad escape": custom(b'{"x":"\\q"}'),
    "invalid UTF-8": custom(b'{"x":"\xff"}'),
    "cut UTF-8": custom(b'{"x":"\xe2\x82"}'),
    "overlong UTF-8": custom(b'{"x":"\xc0\xaf"}'),
    "surrogate as UTF-8": custom(b'{"x":"\xed\xa0\x80"}'),
    "invalid UTF-8 in a name": custom(b"{}", b"\xff"),
    "invalid UTF-8 in a result": custom(b'{"result":"\xff"}', b"complete"),
    "invalid UTF-8 in an error": custom(b'{"error":"\xff"}', b"failed"),
    "invalid UTF-8 in a report": custom(b'{"progress":5,"x":"\xff"}', b"progress-update"),
    "invalid UTF-8 in a step": custom(b'{"progress":5,"currentStep":"\xff"}', b"step-change"),
    "NaN": custom(b'{"x":NaN}'),
    "Infinity": custom(b'{"progress":5,"estimatedTimeRemaining":Infinity}', b"step-change"),
}
TOO_MUCH = {
    "1 MiB and a byte": custom(b'{"x":"%b"}' % (b"x" * (MEBIBYTE - 7))),
    "10 MB": custom(b'{"x":"%b"}' % (b"x" * 10_000_000)),
    "10 MB of result": custom(b'{"result":"%b"}' % (b"x" * 10_000_000), b"complete"),
    "10 MB of name": custom(b"{}", b"x" * 10_000_000),
    "deep": custom(nested(5000)),
    "very deep": custom(nested(150_000)),
    "deep result": custom(b'{"result":%b}' % nested(100_000), b"complete"),
    "deep report": custom(b'{"progress":5,"x":%b}' % nested(100_000), b"progress-update"),
    "deep beside": b'{"event":"note","data":{},"x":%b}' % nested(100_000),
    "deep array": custom(b"[" * 200_000 + b"]" * 200_000),
}


HALF_A_CHARACTER = {
    custom(b'{"x":"\\ud800"}'): {"x": "\ufffd"},
    custom(b'{"\\udfff":1}'): {"\ufffd": 1},
    custom(b'{"x":["\\ude00\\ud83d"]}'): {"x": ["\ufffd\ufffd"]},
    custom(b'{"progress":5,"x":"\\ud800"}', b"progress-update"): {
        "progress": 5,
        "currentStep": None,
        "estimatedTimeRemaining": None,
        "x": "\ufffd",
    },
    custom(b'{"result":"Done \\ud83d"}', b"complete"): {"result": "Done \ufffd"},
}
"""What JavaScript makes of a text that was cut within a character, and what viewers get of it."""


async def dropped(service: Service) -> float:
    return (await service.metrics())[DROPPED]


@asynccontextmanager
async def watching(service: Service, job_id: str) -> AsyncIterator[Stream]:
    async with watch(service.url, job_id) as stream:
        await stream.until("progress-update")
        yield stream


@pytest.mark.parametrize(
    "bad", [NOT_A_MESSAGE, BAD_NAME, BAD_DATA, BAD_TEXT, TOO_MUCH], ids=lambda bad: next(iter(bad))
)
async def test_a_bad_message_is_counted_and_dropped_and_harms_nothing(
    service: Service,
    jobs: jobcast.Jobs,
    job_id: str,
    redis_client: Redis,
    bad: dict[str, bytes],
) -> None:
    async with watching(service, job_id) as stream:
        run = jobs.run(job_id)
        ids = [await run.start()]
        before = await dropped(service)
        for what, message in bad.items():
            assert await redis_client.publish(f"jobs:{job_id}:events", message) == 1, what
            ids.append(await run.emit("mark", {"what": what}))
        ids.append(await run.complete())
        assert [event.id for event in await stream.rest()] == ids
    assert await dropped(service) - before == len(bad)
    assert not stream.cut
    assert stream.parser.retries == []
    assert service.log.count(f"job {job_id}: dropped a publication") == 1
    assert "Traceback" not in service.log


async def test_bad_messages_of_one_job_are_nothing_to_another(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    bad = await jobs.create("anything", session_id=SESSION)
    async with watching(service, job_id) as stream, watching(service, bad):
        for message in (*NOT_A_MESSAGE.values(), *BAD_TEXT.values()):
            await redis_client.publish(f"jobs:{bad}:events", message)
        async with jobs.run(job_id) as run:
            await run.progress(50)
        names = [event.name for event in await stream.rest()]
    assert names == ["step-change", "progress-update", "complete"]


def forged(event: str, data: object, **ids: str) -> bytes:
    return json.dumps({**ids, "event": event, "data": data}).encode()


FORGERIES = {
    "custom": ("note", {"forged": True}),
    "report": ("progress-update", {"progress": 99}),
    "step": ("step-change", {"progress": 99, "currentStep": "Forged"}),
    "complete": ("complete", {"result": "forged"}),
    "failed": ("failed", {"error": "forged"}),
}


@pytest.mark.parametrize("kind", FORGERIES)
@pytest.mark.parametrize("prev", ["without prev", "foreign prev", "correct prev"])
@pytest.mark.parametrize("when", ["far", "soon", "past"])
async def test_a_forged_id_hides_and_doubles_no_real_event(  # noqa: PLR0913, PLR0917 - the cases
    service: Service,
    jobs: jobcast.Jobs,
    job_id: str,
    redis_client: Redis,
    kind: str,
    prev: str,
    when: str,
) -> None:
    event, data = FORGERIES[kind]
    async with watching(service, job_id) as stream:
        run = jobs.run(job_id)
        ids = [await run.start(), await run.progress(10)]
        now = int(time.time() * 1000)
        # Never one of the log: a slow worker may append at any millisecond, but from -0 on.
        its_id = {"far": "9999999999999-0", "soon": f"{now + 50}-77", "past": f"{now - 5}-999"}
        its_prev = {"foreign prev": {"prev": "1-1"}, "correct prev": {"prev": ids[-1]}}
        message = forged(event, data, id=its_id[when], **its_prev.get(prev, {}))
        await redis_client.publish(f"jobs:{job_id}:events", message)
        ids += [await run.emit("mark", {"n": 1}), await run.progress(20)]
        ids += [await run.emit("mark", {"n": 2}), await run.complete({"real": True})]
        events = await stream.rest()
    real = [event for event in events if event.id != its_id[when]]
    assert [event.id for event in real if event.name == "mark"] == [ids[2], ids[4]]
    assert [event.data for event in real if event.name == "complete"] == [
        {"result": {"real": True}}
    ]
    assert events[-1].id == ids[-1]
    assert not [event for event in events if event.name == "failed"]
    if (prev, event) != ("correct prev", event) or event in {"complete", "failed"}:
        assert [event.id for event in events] == ids
    log = [entry_id for entry_id, _ in await log_of(redis_client, job_id)]
    assert log[1:] == ids
    async with watch(service.url, job_id, last_event_id=its_id[when]) as again:
        seen = [(event.name, event.id) for event in await again.rest()]
    assert seen == [("connected", ""), ("reset", ""), ("complete", ids[-1])]


async def test_a_copy_of_a_real_publication_is_delivered_once(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis
) -> None:
    async with watching(service, job_id) as stream:
        run = jobs.run(job_id)
        ids = [await run.start()]
        for number in range(20):
            ids.append(await run.emit("note", {"n": number}))
            copy = forged("note", {"n": number}, id=ids[-1], prev=ids[-2])
            await redis_client.publish(f"jobs:{job_id}:events", copy)
        ids.append(await run.complete())
        assert [event.id for event in await stream.rest()] == ids


async def test_what_a_worker_wrote_into_the_log_badly_harms_no_other_job(
    service: Service, jobs: jobcast.Jobs, job_id: str, redis_client: Redis, redis_url: str
) -> None:
    bad = await jobs.create("anything", session_id=SESSION)
    runs = {of: jobs.run(of) for of in (bad, job_id)}
    firsts = {of: await run.start() for of, run in runs.items()}
    text = b'"a\xffb"'
    arguments = (b"PUBLISH", b"progress", b"", b"", b"", b',"currentStep":%b}' % text, b"50", b"1")
    async with Redis.from_url(redis_url) as raw, watching(service, job_id) as stream:
        await raw.register_script(SCRIPT)(
            keys=[f"jobs:{{{bad}}}:log", f"jobs:{{{bad}}}:state", f"jobs:{bad}:events"],
            args=[*arguments, b"currentStep", b"a\xffb"],
        )
        async with asyncio.TaskGroup() as group:
            for of in (bad, job_id) * 5:
                group.create_task(came_through(service, of, firsts[of]))
            for run in runs.values():
                await run.emit("mark", {})
                await run.complete()
        assert [event.name for event in await stream.rest()] == ["mark", "complete"]
    async with service.client() as client:
        for of in runs:
            status = (await client.get(f"/api/v1/jobs/{of}/status")).json()
            assert status["status"] == "succeeded"


async def came_through(service: Service, job_id: str, cursor: str) -> None:
    async with watch(service.url, job_id, last_event_id=cursor) as stream:
        assert (await stream.rest())[-1].name == "complete"


async def test_half_a_character_is_shown_as_the_sign_for_that(
    service: Service, job_id: str, redis_client: Redis
) -> None:
    async with watching(service, job_id) as stream:
        before = await dropped(service)
        for message in HALF_A_CHARACTER:
            assert await redis_client.publish(f"jobs:{job_id}:events", message) == 1
        assert [event.data for event in await stream.rest()] == list(HALF_A_CHARACTER.values())
        assert await dropped(service) == before
