"""Whatever a worker hands to the library: it is refused, or it reaches viewers unchanged."""

import asyncio
import json
import math
import pickle
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

import jobcast
from tests.fuzz.answers import check_frames
from tests.fuzz.bounds import bounded
from tests.fuzz.bystander import undisturbed
from tests.fuzz.corpus import Corpus
from tests.support.calls import status_of
from tests.support.json_values import json_objects, json_values
from tests.support.service import SESSION, Service
from tests.support.sse import Event, watch
from tests.support.stored import log_of

CORPUS: Final = Corpus("calls")
"""Pickled: what is odd about the arguments is mostly that no other format has them."""

NUMBERS: Final[list[Any]] = [
    *(math.nan, math.inf, -math.inf, 10**400, -(10**400), 10**5000, 2**64, 2**63, 10**30, 1e308),
    *(-0.0, 5e-324, 0.1, 100.0, -1, 101, True),
]
ODD: Final[list[Any]] = [
    *NUMBERS,
    *(True, False, None, b"bytes", object(), {1, 2}, 1j, (), {1: 2}, {None: 1}, {(1,): 2}, [[]]),
    *(
        "\ud800",
        "a\udfffb",
        "\0",
        "\r\n\n: \u2028\u2029\x85",
        "id: 9-9\n\ndata: {}\n\n",
        "x" * 70_000,
    ),
    *(
        {"x": "\ud800"},
        {"\udfff": 1},
        {"x": math.nan},
        {"x": object()},
        {"x": "y" * 2**20},
        ["\ud800"],
    ),
    *(
        {"progress": 1},
        {"error": "x", "errorCode": 5},
        {"result": 1},
        {1: "a", "1": "b"},
        {"x": 10**30},
    ),
]
anything = st.sampled_from(ODD) | json_values


def mostly(usual: st.SearchStrategy[Any], *odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw what is usual five times out of six, so that a call has few faults at once."""
    return st.sampled_from([usual] * 5 + [st.one_of(*odd)]).flatmap(lambda kind: kind)


numbers = st.sampled_from(NUMBERS)
percents = mostly(st.integers(0, 100), numbers, anything)
seconds = mostly(st.none() | st.integers(0, 99) | st.floats(0, 99), numbers, anything)
texts = st.text(max_size=20) | st.sampled_from(
    ["", "\r\n", "\u2028", "\0", "\ud800", "a\rb: c\n\nd"]
)
names = st.sampled_from(
    ["note", "a", "x-1", "a" * 64, "a" * 65, "connected", "Note", "note\n", "", "é"]
)
steps = mostly(texts, anything)
further = mostly(
    st.just({}) | st.dictionaries(texts, json_values, max_size=3),
    st.dictionaries(texts, anything, min_size=1, max_size=3),
)
objects = mostly(json_objects, anything)

_Call = tuple[str, tuple[Any, ...], Mapping[str, Any]]


def call(name: str, *given: st.SearchStrategy[Any], more: bool = False) -> st.SearchStrategy[_Call]:
    return st.tuples(st.just(name), st.tuples(*given), further if more else st.just({}))


calls = st.one_of(
    call("progress", percents, st.none() | steps, more=True),
    st.tuples(percents, seconds).map(lambda drawn: ("progress", drawn[:1], {"eta": drawn[1]})),
    call("step", steps, st.none() | percents, seconds, more=True),
    call("emit", mostly(st.just("note"), names), objects),
)
ends = st.one_of(
    call("complete", mostly(json_values, anything)),
    call("fail", steps),
    call("fail", steps, st.none() | steps),
)


async def came_through(service: Service, redis_url: str, wanted: list[_Call], end: _Call) -> None:
    """Make calls of a run and compare what they say, the log, the stream and the status."""
    async with (
        jobcast.connect(redis_url, progress_per_s=None) as jobs,
        Redis.from_url(redis_url, decode_responses=True) as redis,
        service.client() as client,
    ):
        job_id = await jobs.create("anything", session_id=SESSION)
        async with watch(service.url, job_id) as stream:
            await stream.until("progress-update")
            run = jobs.run(job_id)
            written: list[tuple[str, Any]] = [(await run.start(), None)]
            for name, given, more in [*wanted, end, ("complete", (), {})]:
                try:
                    entry_id = await getattr(run, name)(*given, **more)
                except jobcast.InvalidEvent:
                    continue
                except jobcast.JobFinished:
                    break
                written.append((entry_id, given[1] if name == "emit" else None))
            events = await stream.rest()
            check_frames(stream.body)
        log = await log_of(redis, job_id)
        assert [entry_id for entry_id, _ in log][1:] == [entry_id for entry_id, _ in written]
        assert events == [
            Event(fields["event"], json.loads(fields["data"]), entry_id)
            for entry_id, fields in log[1:]
        ]
        for event, (_, data) in zip(events, written, strict=True):
            assert data is None or event.data == json.loads(json.dumps(data))
        status = await status_of(client, job_id)
        assert status["status"] == {"complete": "succeeded", "failed": "failed"}[events[-1].name]
        assert status["result"] == events[-1].data.get("result")
        assert status["error"] == events[-1].data.get("error")


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_what_a_worker_says_is_refused_or_reaches_its_viewers_unchanged(
    service: Service, redis_url: str
) -> None:
    with asyncio.Runner() as runner:

        @bounded(100)
        @given(st.lists(calls, min_size=5, max_size=20), ends)
        def tried(wanted: list[_Call], end: _Call) -> None:
            with CORPUS.trying(pickle.dumps((wanted, end))):
                runner.run(came_through(service, redis_url, wanted, end))

        with undisturbed(runner, service, redis_url), CORPUS.keeping():
            tried()


@CORPUS.each()
async def test_what_a_worker_says_comes_through_where_it_once_did_not(
    service: Service, redis_url: str, kept: bytes
) -> None:
    wanted, end = pickle.loads(kept)  # noqa: S301 - of this repository
    await came_through(service, redis_url, wanted, end)
