"""What a worker that appends by HTTP may not send, and what is written of it: nothing."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from tests.support.certificate import Certificate
from tests.support.http_worker import START, HttpWorker, event, new_run, worker_token
from tests.support.service import Service
from tests.support.stored import log_of
from tests.support.valkey import Valkey
from tests.support.waiting import until

RUN = "a-run-of-the-tests"
MAX_INTEGER = 2**53 - 1


@pytest.fixture
async def worker(service: Service) -> AsyncIterator[HttpWorker]:
    async with HttpWorker(service) as connected:
        yield connected


@pytest.fixture
async def started(worker: HttpWorker) -> str:
    """Return a job that was started by ``RUN``."""
    job_id = await worker.create()
    await worker.send(job_id, RUN, START)
    return job_id


def batch(*events: Any, **more: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps({"run": RUN, "events": events, **more}).encode()


def single(data: str = "{}", name: str = "progress-update", seq: str = "2") -> bytes:
    return f'{{"run":"{RUN}","seq":{seq},"event":"{name}","data":{data}}}'.encode()


WRONG: list[tuple[bytes, str]] = [
    (b"", "JSON"),
    (b"nope", "JSON"),
    (b"run=a&seq=1", "JSON"),
    (b"null", "object"),
    (b"[]", "object"),
    (b"5", "object"),
    (b"{}", "run"),
    (b'{"run":"%s"}' % RUN.encode(), "seq"),
    (b'{"run":"%s","events":null}' % RUN.encode(), "events"),
    (b'{"run":"%s","events":{}}' % RUN.encode(), "events"),
    (b'{"events":[]}', "run"),
    *((batch(run=run), "run") for run in (None, 5, "", "short", "a" * 65, "é" * 9, f"{RUN}\n")),
    *((batch(attempt=attempt), "attempt") for attempt in (0, -1, 1.5, "1", True, 2**53)),
    *(
        (batch(leaseSeconds=lease), "leaseSeconds")
        for lease in (0, 0.5, -1, 86_401, "60", None, True, 10**400)
    ),
    (batch(priority=1), "priority"),
    (batch(START, seq=1), "seq"),
    (batch({"event": "x"}), r"seq.*events\[0\]"),
    (batch({"seq": 2}), r"event.*events\[0\]"),
    (batch({"seq": 2, "event": "x", "type": "y"}), r"type.*events\[0\]"),
    (batch(event(2), event(3), 5), r"events\[2\]"),
    *(
        (batch({"seq": seq, "event": "x"}), r"events\[0\]\.seq")
        for seq in (0, -1, 1.5, "2", True, None, 2**53, 10**30)
    ),
    (single(seq="1e400"), "JSON|seq|range"),
    *((batch(event(2), event(seq)), r"^events\[1\]\.seq: ") for seq in (2, 1)),
    (batch(START, event(3), event(2)), r"^events\[2\]\.seq: "),
    (batch(event(2, "complete"), event(3)), r"^events\[1\]\.event: "),
    (batch(event(2, "failed", error="x"), event(3, "complete")), r"^events\[1\]\.event: "),
    (batch(event(1)), r"^events\[0\]\.event: .*step-change"),
    (batch(event(1, "complete")), r"^events\[0\]\.event: .*step-change"),
    (batch(event(1, "step-change", currentStep="x")), r"^events\[0\]\.data: "),
    (batch(*map(event, range(2, 103))), "events|length"),
    (batch(*map(event, range(2, 10_002))), "events|length"),
    (single('"x"'), "data"),
    (single("null"), "data"),
    (single("[]"), "data"),
    *(
        (single(f'{{"progress":{n}}}'), "^data.progress ")
        for n in ("-1", "101", "1.0", '"5"', "true")
    ),
    *(
        (single(f'{{"estimatedTimeRemaining":{n}}}'), "^data.estimatedTimeRemaining ")
        for n in ("-1", '"5"', "true", "1" + "0" * 400)
    ),
    (single('{"currentStep":5}'), "^data.currentStep "),
    (single("{}", "step-change"), "^data.currentStep "),
    (single('{"currentStep":null}', "step-change"), "^data.currentStep "),
    (single("{}", "log"), "^data.text "),
    (single('{"text":"x","level":"loud"}', "log"), "^data.level "),
    (single("{}", "failed"), "^data.error "),
    (single('{"error":"x","errorCode":5}', "failed"), "^data.errorCode "),
    (single('{"error":"x","detail":5}', "failed"), "^data: .*detail"),
    (single('{"error":"x","willRetry":1}', "failed"), "^data.willRetry "),
    (single('{"error":"x","retryInSeconds":5}', "failed"), "^data.retryInSeconds "),
    *(
        (
            single(f'{{"error":"x","willRetry":true,"retryInSeconds":{time}}}', "failed"),
            "^data.retryInSeconds ",
        )
        for time in ("-1", '"5"', "true")
    ),
    (single('{"results":5}', "complete"), "^data: .*results"),
    *(
        (single("{}", name), "event")
        for name in (
            *("", "X", "a b", "a" * 65, "connected", "reset", "ping", "left", "message", "error"),
            *("open", "chunk", "artifact", "input-requested", "child-a", "_created", "a\\n"),
        )
    ),
    (b'{"run":"%s","seq":2,"event":"x","data":{"n":NaN}}' % RUN.encode(), "^data: .*NaN"),
    (b'{"run":"%s","seq":2,"event":"x","data":{"n":1e999}}' % RUN.encode(), "data|range"),
    (rb'{"run":"%s","seq":2,"event":"x","data":{"t":"\ud83d"}}' % RUN.encode(), "^data: .*surrog"),
    (rb'{"run":"%s","events":[{"seq":2,"event":"\ud83d"}]}' % RUN.encode(), "^events: .*surrog"),
    (b'{"run":"%s","seq":2,"event":"x","data":{"t":"\xff"}}' % RUN.encode(), "^data: "),
    (b'\xef\xbb\xbf{"run":"%s","events":[]}' % RUN.encode(), "JSON"),
    (single('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"), "deep|depth"),
    (batch(event(2, "x", a=0)).replace(b"0", b"[" * 5000 + b"]" * 5000), "deep|depth"),
]


@pytest.mark.parametrize(
    ("body", "names"), WRONG, ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else ""
)
async def test_a_wrong_body_is_a_400_that_names_the_field_and_writes_nothing(
    worker: HttpWorker, started: str, redis_client: Redis, body: bytes, names: str
) -> None:
    before = await log_of(redis_client, started)
    answer = await worker.post(started, body)
    assert answer.status_code == 400, answer.text
    shown = answer.json()
    assert list(shown) == ["success", "error", "message", "code"]
    assert (shown["error"], shown["code"]) == ("Bad request", "BAD_REQUEST")
    assert re.search(names, shown["message"]), shown["message"]
    assert len(shown["message"]) < 300
    assert await log_of(redis_client, started) == before


@pytest.mark.parametrize("depth", [50, 500, 900, 980, 1000])
async def test_an_event_is_either_readable_or_refused_however_deep_it_is(
    service: Service, worker: HttpWorker, started: str, depth: int
) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    for seq, name in enumerate(("note", "progress-update", "complete"), 2):
        data = f'{{"result":{nested}}}' if name == "complete" else f'{{"deep":{nested}}}'
        answer = await worker.post(started, single(data, name, str(seq)))
        assert answer.status_code in {200, 400}, answer.text
        async with service.client() as client:
            status = await client.get(f"/api/v1/jobs/{started}/status")
            assert status.status_code == 200


async def test_of_repeated_keys_the_last_one_counts(
    worker: HttpWorker, started: str, redis_client: Redis
) -> None:
    body = f'{{"run":"other-run","run":"{RUN}","seq":9,"seq":2,"event":"x","data":{{"n":1,"n":2}}}}'
    assert (await worker.post(started, body.encode())).status_code == 200
    _, fields = (await log_of(redis_client, started))[-1]
    assert (fields["data"], fields["seq"]) == ('{"n":2}', "2")


async def test_the_highest_number_and_a_full_batch_are_taken(
    worker: HttpWorker, started: str
) -> None:
    many = await worker.send(started, RUN, *(event(seq, "note") for seq in range(2, 102)))
    assert len(set(many["ids"])) == 100
    await worker.send(started, RUN, event(MAX_INTEGER, "note"))


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_the_content_type_does_not_matter(
    worker: HttpWorker, started: str, kind: str
) -> None:
    answer = await worker.post(started, single(), headers={"Content-Type": kind})
    assert answer.status_code == 200


async def test_a_chunked_body_is_taken_and_bounded(worker: HttpWorker, started: str) -> None:
    async def chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
        for begin in range(0, len(body), size):
            yield body[begin : begin + size]

    path = f"/api/v1/jobs/{started}/events"
    answer = await worker.client.post(path, content=chunks(single(), 7))
    assert answer.status_code == 200
    answer = await worker.client.post(path, content=chunks(b" " * 1_200_000, 60_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")


async def test_a_body_of_more_than_a_megabyte_is_a_413(worker: HttpWorker, started: str) -> None:
    answer = await worker.post(started, single('{"t":"%s"}' % ("x" * 1_100_000), "note"))
    assert (answer.status_code, answer.json()["code"]) == (413, "TOO_LARGE")
    answer = await worker.post(started, single('{"t":"%s"}' % ("x" * 1_048_568), "note"))
    assert answer.status_code == 200
    answer = await worker.post(started, single('{"t":"%s"}' % ("x" * 1_048_569), "note", "3"))
    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


async def test_a_batch_that_is_refused_midway_says_what_was_written(
    worker: HttpWorker, redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, max_event_bytes=1024) as jobs:
        job_id = await jobs.create("report", session_id="session-1")
    events = [START, event(2, "note"), event(3, "note", text="x" * 2000), event(4, "note")]
    for _ in range(2):
        status, code, ids = await worker.refusal(job_id, RUN, *events)
        assert (status, code) == (413, "TOO_LARGE")
        log = await log_of(redis_client, job_id)
        assert ids == [entry for entry, _ in log[1:]]
        assert len(ids) == 2
    events[2] = event(3, "note", text="x")
    answer = await worker.send(job_id, RUN, *events)
    assert answer["ids"][:2] == ids
    assert len(await log_of(redis_client, job_id)) == 5


async def test_a_repeat_of_what_was_trimmed_has_no_entry(
    worker: HttpWorker, redis_url: str, redis_client: Redis
) -> None:
    async with jobcast.connect(redis_url, max_entries=10) as jobs:
        job_id = await jobs.create("report", session_id="session-1")
    events = [START, *(event(seq, "note") for seq in range(2, 40))]
    await worker.send(job_id, RUN, *events)
    log = await log_of(redis_client, job_id)
    repeated = await worker.send(job_id, RUN, *events)
    assert repeated["ids"][:2] == [None, None]
    assert repeated["ids"][-1] == log[-1][0]
    assert await log_of(redis_client, job_id) == log


async def test_a_job_in_another_state_is_a_409_that_says_which(
    service: Service, worker: HttpWorker, redis_client: Redis
) -> None:
    job_id = await worker.create()
    for events in ([event(2)], [event(2, "complete")], []):
        assert await worker.refusal(job_id, RUN, *events) == (409, "JOB_NOT_RUNNING", [])
    await worker.send(job_id, RUN, START, event(2, "complete"))
    assert await worker.refusal(job_id, RUN, event(3)) == (409, "JOB_FINISHED", [])
    assert await worker.refusal(job_id, new_run(), START) == (409, "JOB_FINISHED", [])
    assert not await redis_client.exists("jobs:leases")


@pytest.mark.parametrize("job_id", ["unknown", "a" * 128, "a" * 129, "%20", "ä", "a:b", "{a}"])
async def test_a_job_that_is_not_there_is_a_404(
    worker: HttpWorker, redis_client: Redis, job_id: str
) -> None:
    for events in ([START], [event(2)], []):
        assert await worker.refusal(job_id, RUN, *events) == (404, "JOB_NOT_FOUND", None)
    assert await redis_client.keys("*") == []


async def test_an_unreadable_job_is_a_500(worker: HttpWorker, redis_client: Redis) -> None:
    await redis_client.set("jobs:{odd}:state", "x")
    assert await worker.refusal("odd", RUN, START) == (500, "INTERNAL", None)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_other_methods_are_a_405(worker: HttpWorker, started: str, method: str) -> None:
    answer = await worker.client.request(method, f"/api/v1/jobs/{started}/events")
    assert answer.status_code == 405
    assert "POST" in answer.headers["allow"]


async def test_a_worker_may_speak_http_2(redis_url: str, certificate: Certificate) -> None:
    assert redis_url
    with Service(redis_url, certificate=certificate) as service:
        async with HttpWorker(service, http2=True) as worker:
            job_id = await worker.create()
            answer = await worker.post(job_id, batch(START, event(2, "complete")))
    assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey("--appendonly", "yes", "--appendfsync", "always") as running:
        yield running


async def test_while_redis_is_away_a_worker_gets_a_503_and_may_repeat(own_valkey: Valkey) -> None:
    events = [event(2, "note"), event(3, "complete")]
    with Service(own_valkey.url) as service:
        async with HttpWorker(service) as worker:
            job_id = await worker.create()
            await worker.send(job_id, RUN, START)
            own_valkey.pause()
            answers = await asyncio.gather(
                *(worker.post(job_id, batch(*some)) for some in (events, events, []))
            )
            for answer in answers:
                body = answer.json()
                assert (answer.status_code, body["code"]) == (503, "SERVICE_UNAVAILABLE")
                assert answer.headers["retry-after"] == "2"
                assert body["ids"] == []
            own_valkey.resume()
            done = await worker.send(job_id, RUN, *events)
    async with Redis.from_url(own_valkey.url, decode_responses=True) as redis:
        log = await log_of(redis, job_id)
    assert [fields["event"] for _, fields in log] == ["_created", "step-change", "note", "complete"]
    assert done["ids"] == [entry for entry, _ in log[2:]]


async def test_a_client_that_goes_midway_leaves_whole_events_and_may_repeat(
    service: Service, worker: HttpWorker, started: str, redis_client: Redis
) -> None:
    events = [event(seq, "note", n=seq) for seq in range(2, 102)]
    body = batch(*events)
    head = (
        f"POST /api/v1/jobs/{started}/events HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {worker_token()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    for cut in (len(body) // 2, len(body), len(body), len(body)):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(head.encode() + body[:cut])
        await writer.drain()
        writer.transport.abort()
    await until(lambda: service.connections() <= 1)
    answer = await worker.send(started, RUN, *events)
    log = [(entry, fields["data"]) for entry, fields in await log_of(redis_client, started)][2:]
    assert [json.loads(data)["n"] for _, data in log] == list(range(2, 102))
    assert answer["ids"] == [entry for entry, _ in log]
