"""``fold(log) == state hash`` for every history, and what is refused changes nothing."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

import jobcast
from eventlog.append import Appender
from eventlog.connection import connect
from eventlog.errors import AppendRefused
from schema.entry import entry_from_log
from schema.events import Complete, CompleteData, Failed, FailedData
from schema.state import JobState, fold
from tests.channel import Channel
from tests.valkey import Valkey

NUMBERS = itertools.count()
TEXT = st.text(max_size=8)  # lone surrogates are not among what hypothesis makes
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
REPORT = st.fixed_dictionaries(
    {}, optional={"eta": st.integers(0, 999) | st.floats(0, 999), "phase": JSON}
)
OPERATION = st.one_of(
    st.just(("start",)),
    st.tuples(st.just("progress"), st.integers(0, 100), st.none() | TEXT, REPORT),
    st.tuples(st.just("step"), TEXT, st.none() | st.integers(0, 100), REPORT),
    st.tuples(st.just("emit"), st.dictionaries(TEXT, JSON, max_size=2)),
    st.tuples(st.just("complete"), JSON),
    st.tuples(st.just("fail"), TEXT.filter(bool), st.none() | TEXT.filter(bool)),
    *(st.just((name,)) for name in ("start", "cancel", "cancel", "retry", "retry", "abandon")),
    st.tuples(st.just("settle"), st.booleans()),
    st.just(("old run",)),
)


class History:
    """One job, and what is done to it."""

    def __init__(self, redis: Redis, appender: Appender, jobs: jobcast.Jobs, job_id: str) -> None:
        self._redis = redis
        self._appender = appender
        self._jobs = jobs
        self._job_id = job_id
        self._run = self._old = jobs.run(job_id)

    async def do(self, name: str, *given: Any) -> None:  # noqa: ANN401 - any operation's
        """Do one thing; if it is refused, nothing may be different from before."""
        before = await self.stored()
        async with Channel(self._redis, f"jobs:{self._job_id}:events") as channel:
            try:
                await self._operation(name, *given)()
            except jobcast.JobCancelled:
                pass  # the event was written
            except (jobcast.JobcastError, AppendRefused):
                assert await self.stored() == before
                assert await channel.rest() == []

    async def stored(self) -> tuple[dict[str, Any], list[Any]]:
        """Return the state hash and the log as they are."""
        key = f"jobs:{{{self._job_id}}}"
        state: Any = await self._redis.hgetall(f"{key}:state")
        log: Any = await self._redis.xrange(f"{key}:log")
        return state, log

    def _operation(
        self,
        name: str,
        *given: Any,  # noqa: ANN401 - any operation's
    ) -> Callable[[], Awaitable[object]]:
        run, job_id = self._run, self._job_id
        if name == "start":
            self._old, self._run = run, self._jobs.run(job_id)
            return self._run.start
        if name in {"progress", "step"}:
            first, second, more = given
            report = run.progress if name == "progress" else run.step
            return lambda: report(first, second, **more)
        if name == "emit":
            return lambda: run.emit("note", given[0])
        if name == "old run":
            return lambda: self._old.progress(99)
        return lambda: self._end(name, *given)

    async def _end(self, name: str, *given: Any) -> object:  # noqa: ANN401 - any operation's
        if name == "complete":
            return await self._run.complete(*given)
        if name == "fail":
            return await self._run.fail(*given)
        if name == "settle":
            raw = msgspec.Raw(b'{"n":[]}')
            event = Complete(CompleteData(raw)) if given[0] else Failed(FailedData("Lost", "LOST"))
            return await self._appender.settle(self._job_id, event)
        if name == "abandon":
            return await self._appender.abandon(self._job_id, 1, FailedData("Never queued"))
        return await getattr(self._appender, name)(self._job_id)


def comparable(state: JobState | None) -> dict[str, Any]:
    assert state is not None
    return {**msgspec.structs.asdict(state), "result": msgspec.json.decode(state.result)}


@settings(max_examples=60, deadline=None)
@given(st.lists(OPERATION, min_size=6, max_size=40), st.integers(4, 24))
def test_the_fold_of_the_log_is_the_state_and_what_is_refused_changes_nothing(
    valkey: Valkey, operations: list[tuple[Any, ...]], max_entries: int
) -> None:
    async def live() -> None:
        job_id = f"job-{next(NUMBERS)}"
        redis = connect(valkey.url)
        async with redis, jobcast.connect(valkey.url, max_entries=max_entries) as jobs:
            await jobs.create("any", session_id="s", input={"a": "ü"}, job_id=job_id)
            history = History(redis, Appender(redis), jobs, job_id)
            for operation in operations:
                await history.do(*operation)
                fields, log = await history.stored()
                folded = fold(entry_from_log(entry_id, entry) for entry_id, entry in log)
                assert comparable(folded) == comparable(JobState.from_hash(fields))
                assert len(log) <= max_entries + 1

    asyncio.run(live())
