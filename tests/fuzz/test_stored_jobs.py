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
from tests.calls import CALLS
from tests.fuzz.answers import check_error, check_frames
from tests.fuzz.bounds import bounded
from tests.fuzz.bystander import undisturbed
from tests.fuzz.corpus import Corpus
from tests.service import Service

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
    *(b"queued", b"running", b"succeeded", b"failed", b"done", b"1-1", b"1-1-1", b"-", b"1-", b"*"),
    *(b"99999999999999999999-0", b"18446744073709551615-0", b"_created", b"complete", b"note"),
)
values = st.sampled_from(VALUES) | st.binary(max_size=8)
changes = st.one_of(
    st.tuples(st.just("HSET"), st.sampled_from(FIELDS), values),
    st.tuples(st.just("HDEL"), st.sampled_from(FIELDS), st.just(b"")),
    st.tuples(st.just("XADD"), st.sampled_from(("event", "data", "run", "x")), values),
    st.tuples(st.just("SET"), st.sampled_from(("log", "state")), values),
    st.tuples(st.just("DEL"), st.sampled_from(("log", "state")), st.just(b"")),
)
_Change = tuple[str, str, bytes]
NUMBERS: Final = itertools.count(1)


async def changed(redis: Redis, job_id: str, change: _Change) -> None:
    """Do something to a job's keys that nobody should."""
    command, name, value = change
    log, state = f"jobs:{{{job_id}}}:log", f"jobs:{{{job_id}}}:state"
    parts: dict[str, tuple[Any, ...]] = {
        "HSET": (state, name, value),
        "HDEL": (state, name),
        "XADD": (log, "*", "event", b"note", name, value),
        "SET": (log if name == "log" else state, value),
        "DEL": (log if name == "log" else state,),
    }
    await redis.execute_command(command, *parts[command])  # type: ignore[no-untyped-call]


async def assert_answered(client: httpx.AsyncClient, name: str, job_id: str, **more: str) -> None:
    """Make a call and check that its answer is one of the contract."""
    method, path = CALLS[name]
    asked = client.build_request(method, path.format(job_id), headers=more)
    async with asyncio.timeout(WAIT_SECONDS):
        answer = await client.send(asked, stream=True)
        if answer.headers.get("content-type") == "text/event-stream":
            check_frames(await anext(answer.aiter_bytes(), b""), whole=False)
        else:
            await answer.aread()
        await answer.aclose()
    if answer.status_code >= 400:
        assert answer.status_code in {400, 404, 503}
        check_error(answer.json())


async def answers_are_in_order(service: Service, redis_url: str, done: list[_Change]) -> None:
    """Spoil a job, and make every call on it."""
    job_id = f"spoilt-{next(NUMBERS)}"
    session = {"x-session-id": job_id}
    logged = len(service.log)
    async with (
        jobcast.connect(redis_url) as jobs,
        Redis.from_url(redis_url) as redis,
        service.client(job_id) as client,
    ):
        await jobs.create("anything", session_id=job_id, job_id=job_id)
        cursor = await jobs.run(job_id).start()
        for change in done:
            with suppress(ResponseError):  # of a type that an earlier change has made another
                await changed(redis, job_id, change)
        for name in ("status", "stream", "list", "cancel", "retry", "status", "stream"):
            await assert_answered(client, name, job_id, **session)
        await assert_answered(client, "stream", job_id, **{"Last-Event-ID": cursor}, **session)
    assert "Traceback" not in service.log[logged:]


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_a_job_whose_keys_hold_anything_is_answered_for_in_good_order(
    service: Service, redis_url: str
) -> None:
    with asyncio.Runner() as runner:

        @bounded(60)
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
