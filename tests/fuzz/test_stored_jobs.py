"""Jobs whose keys hold anything: they are shown or refused in good order, and harm no other."""

import asyncio
import itertools
import json
from contextlib import suppress
from typing import Any, Final

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import jobcast
from jobcast.protocol.append import SCRIPT
from tests.fuzz.answers import check_error, check_frames
from tests.fuzz.bounds import bounded
from tests.fuzz.bystander import undisturbed
from tests.fuzz.corpus import Corpus
from tests.support.calls import CALLS
from tests.support.service import Service
from tests.support.sse import Stream, watch

WAIT_SECONDS: Final = 10.0
CORPUS: Final = Corpus("stored")
FIELDS: Final = (
    *("status", "attempt", "attemptId", "run", "progress", "currentStep", "estimatedTimeRemaining"),
    *("extra", "result", "error", "errorCode", "cancel", "type", "userId", "sessionId", "input"),
    *("created", "last", "checkpoint", "retention", "maxEntries", "lease", "other"),
)
VALUES: Final = (
    *(b"", b"0", b"-1", b"5", b"101", b"1.5", b"1e999", b"NaN", b"9" * 400, b"x", b"\xff", b"\0"),
    *(b"null", b"{}", b"[]", b'{"a":', b'{"progress":1}', b'"\\ud800"', b"[" * 5000, b"\r\n\n: x"),
    *(b'{"\\udc00":["\\ude00\\ud83d",NaN,1e999]}', b'"\xed\xa0\x80"', b"\xef\xbb\xbf{}", b'"a\nb"'),
    *(b'{"result":1}', b'{"error":5,"errorCode":{}}', b'{"a":1,"a":2}', b"-Infinity", b"1e3"),
    *(b"[" * 5000 + b"]" * 5000, b'"%b"' % (b"x" * 70_000), b"9999999999999-0", b"0005-0"),
    *(b"queued", b"running", b"succeeded", b"failed", b"done", b"1-1", b"1-1-1", b"-", b"1-", b"*"),
    *(b"99999999999999999999-0", b"18446744073709551615-0", b"_created", b"complete", b"note"),
)
values = st.sampled_from(VALUES) | st.binary(max_size=8)
says = st.sampled_from(
    (
        *("complete", "complete:result", "complete:result", "fail", "fail:error", "emit"),
        *("progress", "progress:estimatedTimeRemaining", "progress:extra", "step:currentStep"),
        *("start", "cancel", "retry"),
    )
)
"""What a worker in another language appends: data alone, or a field with the same in the state."""
changes = st.one_of(
    st.tuples(st.just("APPEND"), says, values),
    st.tuples(st.just("APPEND"), says, values),
    st.tuples(st.just("HSET"), st.sampled_from(FIELDS), values),
    st.tuples(st.just("HDEL"), st.sampled_from(FIELDS), st.just(b"")),
    st.tuples(st.just("XADD"), st.sampled_from(("event", "data", "run", "x")), values),
    st.tuples(st.just("SET"), st.sampled_from(("log", "state")), values),
    st.tuples(st.just("DEL"), st.sampled_from(("log", "state")), st.just(b"")),
)
_Change = tuple[str, str, bytes]
NUMBERS: Final = itertools.count(1)
FINISHED: Final = ("succeeded", "failed")
ENDS: Final = ("complete", "failed")


async def appended(redis: Redis, job_id: str, what: str, value: bytes) -> None:
    """Append as a worker in another language may; ResponseError if the script refuses."""
    operation, _, field = what.partition(":")
    pair: tuple[str | bytes, ...] = (field, value) if field else ()
    data = value
    if operation in {"progress", "step"}:
        data = b',"currentStep":null,"estimatedTimeRemaining":null,"x":%b}' % value
        if field in {"estimatedTimeRemaining", "currentStep"}:
            data = b',"%b":%b}' % (field.encode(), value)
    elif field:
        data = b'{"%b":%b}' % (field.encode(), value)
    log, state = f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"
    said = ("PUBLISH", operation, "", "", "note", data, "", str(len(pair) // 2), *pair)
    await redis.eval(SCRIPT, 2, log, state, *said)


async def changed(redis: Redis, job_id: str, change: _Change) -> None:
    """Do something to a job's keys that nobody should."""
    command, name, value = change
    log, state = f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"
    if command == "APPEND":
        await appended(redis, job_id, name, value)
        return
    parts: dict[str, tuple[Any, ...]] = {
        "HSET": (state, name, value),
        "HDEL": (state, name),
        "XADD": (log, "*", "event", b"note", name, value),
        "SET": (log if name == "log" else state, value),
        "DEL": (log if name == "log" else state,),
    }
    await redis.execute_command(command, *parts[command])  # type: ignore[no-untyped-call]


async def answered(client: httpx.AsyncClient, name: str, job_id: str) -> httpx.Response:
    """Make a call and check that its answer is one of the contract."""
    method, path = CALLS[name]
    async with asyncio.timeout(WAIT_SECONDS):
        answer = await client.request(method, path.format(job_id))
    assert answer.status_code in {200, 400, 404, 500}, answer.text
    if answer.status_code >= 400:
        check_error(answer.json(), ours=answer.status_code == 500)
    return answer


async def ended(stream: Stream) -> list[str]:
    """Return the names of all events of a stream that is about to end, and check its bytes."""
    async with asyncio.timeout(WAIT_SECONDS):
        names = [event.name for event in await stream.rest()]
    check_frames(stream.body)
    return names


async def check_streams(service: Service, job_id: str, cursor: str, status: httpx.Response) -> None:
    """Check that a viewer gets what the status promises: the end of a job that has ended."""
    is_finished = status.status_code == 200 and status.json()["status"] in FINISHED
    for last_event_id in (None, cursor):
        async with watch(
            service.url, job_id, session=job_id, last_event_id=last_event_id
        ) as stream:
            if status.status_code == 200 and stream.status == 204:
                assert is_finished
                assert last_event_id is not None
                continue
            assert stream.status == status.status_code
            if is_finished:
                assert (await ended(stream))[-1] in ENDS
            elif stream.status == 200:
                await stream.next()
                check_frames(stream.body, whole=False)


async def check_list(client: httpx.AsyncClient, job_id: str, status: httpx.Response) -> None:
    """Check that a list has the good job as it is, and the spoilt one if it may be told of."""
    answer = await answered(client, "list", job_id)
    assert answer.status_code == 200, answer.text
    jobs = {job["jobId"]: job for job in answer.json()["jobs"]}
    good = jobs[f"{job_id}-good"]
    assert (good["status"], good["error"]) == ("queued", None)
    assert status.status_code == 404 or job_id in jobs


async def spoilt(redis: Redis, job_id: str, done: list[_Change]) -> None:
    for change in done:
        with suppress(ResponseError):  # of a type that an earlier change has made another
            await changed(redis, job_id, change)


async def check_calls(service: Service, job_id: str, cursor: str) -> None:
    """Make every call on a job that nobody watches, and on those of its owner."""
    async with service.client(job_id) as client:
        status = await answered(client, "status", job_id)
        await check_list(client, job_id, status)
        await check_streams(service, job_id, cursor, status)
        again = await answered(client, "status", job_id)
        assert (again.status_code, again.content) == (status.status_code, status.content)
        for name in ("cancel", "retry", "status", "list"):
            await answered(client, name, job_id)


async def check_viewer(
    service: Service, redis: Redis, job_id: str, cursor: str, done: list[_Change]
) -> None:
    """Spoil a job that is watched and let it end: its viewer gets the end, or comes again."""
    async with watch(service.url, job_id, session=job_id) as live:
        await live.until("progress-update")
        await spoilt(redis, job_id, done)
        async with service.client(job_id) as client:
            status = await answered(client, "status", job_id)
            await check_list(client, job_id, status)
            await check_streams(service, job_id, cursor, status)
        try:
            await appended(redis, job_id, "complete", b'{"result":1}')
        except ResponseError:
            return  # nothing was published that would tell
        names = await ended(live)
        async with service.client(job_id) as client:
            status = await answered(client, "status", job_id)
        if status.status_code == 200 and b"retry: " not in live.body:
            assert names[-1] in ENDS


async def answers_are_in_order(service: Service, redis_url: str, done: list[_Change]) -> None:
    """Spoil a job that nobody watches, and one that is watched."""
    session = f"spoilt-{next(NUMBERS)}"
    logged = len(service.log)
    async with jobcast.connect(redis_url) as jobs, Redis.from_url(redis_url) as redis:
        for job_id in (session, f"{session}-watched"):
            await jobs.create("anything", session_id=job_id, job_id=f"{job_id}-good")
            await jobs.create("anything", session_id=job_id, job_id=job_id)
            cursor = await jobs.run(job_id).start()
            if job_id == session:
                await spoilt(redis, job_id, done)
                await check_calls(service, job_id, cursor)
            else:
                await check_viewer(service, redis, job_id, cursor, done)
            with suppress(jobcast.JobcastError):
                await jobs.run(job_id).start()
    log = service.log[logged:]
    assert "Traceback" not in log
    assert log.count(f"job {session} can't be read") <= 1
    assert log.count(f"job {session} is not stored") <= 1


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_a_job_whose_keys_hold_anything_is_answered_for_in_good_order(
    service: Service, redis_url: str
) -> None:
    with asyncio.Runner() as runner:

        @bounded(25)
        @given(st.lists(changes, min_size=1, max_size=4))
        def tried(done: list[_Change]) -> None:
            with CORPUS.trying(
                json.dumps([(c, n, v.decode("latin-1")) for c, n, v in done]).encode()
            ):
                runner.run(answers_are_in_order(service, redis_url, done))

        with undisturbed(runner, service, redis_url), CORPUS.keeping():
            tried()


@CORPUS.each()
async def test_a_job_is_answered_for_where_it_once_was_not(
    service: Service, redis_url: str, kept: bytes
) -> None:
    done = [(c, n, v.encode("latin-1")) for c, n, v in json.loads(kept)]
    await answers_are_in_order(service, redis_url, done)
