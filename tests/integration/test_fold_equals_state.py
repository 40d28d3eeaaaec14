"""Whatever is done to a job, its state is what its log folds to, and refusals leave no trace.

The real append script is driven by both of its callers, the SDK's and the service's, with logs so
short that checkpoints and cuts happen all the time.
"""

import json
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Raw
from redis.asyncio import Redis
from redis.exceptions import ResponseError

import jobcast
from eventlog.append import Appender, NewJob
from eventlog.errors import AppendRefused
from eventlog.publication import decode_publication
from jobcast import JobCancelled, JobcastError, Run
from jobcast.protocol.append import Bounds
from jobcast.protocol.names import new_job_id
from jobcast.redis.caller import Caller
from schema.entry import Entry, entry_from_log
from schema.events import Complete, CompleteData, Failed, FailedData
from schema.state import STATE_FIELDS, JobState, fold
from tests.support.channel import Channel
from tests.support.json_values import json_objects, json_values, texts
from tests.support.stored import log_of, state_of

RESERVED = {"progress", "currentStep", "estimatedTimeRemaining", "step", "eta", "self"}
USUAL = {
    "queued": ["start", "start", "start", "cancel", "settle", "abandon"],
    "running": [
        *("progress", "progress", "progress", "step", "step", "emit", "emit"),
        *("start", "cancel", "complete", "fail", "settle", "renew", "stall", "stall_early"),
    ],
    "failed": ["retry", "retry", "start"],
    "succeeded": ["retry", "progress"],
}
ALL = sorted({name for names in USUAL.values() for name in names} | {"late", "create"})

percents = st.integers(0, 100)
seconds = st.none() | st.integers(0, 10**9) | st.floats(0, 1e9)
further = json_objects.map(lambda more: {k: v for k, v in more.items() if k not in RESERVED})
names = st.sampled_from(["note", "blog-result", "x"])


class History:
    """One job from its creation on: what was done to it, and what it came to."""

    def __init__(
        self, jobs: jobcast.Jobs, caller: Caller, client: Redis, channel: Channel, job_id: str
    ) -> None:
        self.jobs = jobs
        self.client = client
        self.channel = channel
        self.job_id = job_id
        self.appender = Appender(caller)
        self.runs = [jobs.run(job_id)]

    async def do(self, name: str, draw: Any) -> None:  # noqa: ANN401 - hypothesis' own
        """Do something; check that it was logged, folded and published, or left no trace."""
        before = await self._stored()
        try:
            await getattr(self, f"_{name}")(draw)
        except JobCancelled:
            pass  # what was reported was written
        except (JobcastError, AppendRefused, ResponseError):
            assert await self._stored() == before
            assert await self.channel.rest() == []
            return
        await self._check(before[1])

    async def _stored(self) -> tuple[dict[str, str], list[tuple[str, dict[str, str]]]]:
        return await state_of(self.client, self.job_id), await log_of(self.client, self.job_id)

    async def _check(self, before: list[tuple[str, dict[str, str]]]) -> None:
        fields, log = await self._stored()
        entries = [entry_from_log(entry_id, entry) for entry_id, entry in log]
        assert comparable(fold(entries)) == comparable(JobState.from_hash(fields))
        fresh = [entry for entry in entries if entry.id not in dict(before)]
        visible = [entry for entry in fresh if entry.event is not None]
        published = await self.channel.rest()
        assert [message["id"] for message in published] == [entry.id for entry in visible]
        for message, entry in zip(published, visible, strict=True):
            check_publication(message, entry, before)

    async def _create(self, _draw: Any) -> None:  # noqa: ANN401
        await self.appender.create(
            self.job_id, NewJob("other", {}, "u2", None, Bounds(60, 5, 1024))
        )

    async def _start(self, draw: Any) -> None:  # noqa: ANN401
        attempt = draw(st.sampled_from([None, None, None, 1, 2]))
        self.runs.append(self.jobs.run(self.job_id, attempt))
        await self.runs[-1].start()

    async def _progress(self, draw: Any) -> None:  # noqa: ANN401
        step = draw(st.none() | texts)
        await self._run.progress(draw(percents), step, eta=draw(seconds), **draw(further))

    async def _step(self, draw: Any) -> None:  # noqa: ANN401
        percent = draw(st.none() | percents)
        await self._run.step(draw(texts), percent, draw(seconds), **draw(further))

    async def _emit(self, draw: Any) -> None:  # noqa: ANN401
        await self._run.emit(draw(names), draw(json_objects))

    async def _complete(self, draw: Any) -> None:  # noqa: ANN401
        await self._run.complete(draw(json_values))

    async def _fail(self, draw: Any) -> None:  # noqa: ANN401
        await self._run.fail(draw(texts), draw(st.none() | texts))

    async def _late(self, draw: Any) -> None:  # noqa: ANN401
        """Let a run go on that may have been taken over."""
        late = draw(st.sampled_from(self.runs))
        await draw(st.sampled_from([late.complete, lambda: late.progress(50)]))()

    async def _cancel(self, _draw: Any) -> None:  # noqa: ANN401
        await self.appender.cancel(self.job_id)

    async def _retry(self, _draw: Any) -> None:  # noqa: ANN401
        await self.appender.retry(self.job_id)

    async def _renew(self, _draw: Any) -> None:  # noqa: ANN401
        await self._run._renew(60_000)

    async def _stall(self, _draw: Any) -> None:  # noqa: ANN401
        state = await state_of(self.client, self.job_id)
        if state["status"] == "running" and "lease" in state:
            await self.client.hset(f"jobs:{{{self.job_id}}}:state", "lease", "1")
        await self.appender.stall(self.job_id, state.get("run", "none"))

    async def _stall_early(self, draw: Any) -> None:  # noqa: ANN401
        await self.appender.stall(
            self.job_id, draw(st.sampled_from(self.runs))._sender.token or "none"
        )

    async def _settle(self, draw: Any) -> None:  # noqa: ANN401
        result = Raw(json.dumps(draw(json_values), ensure_ascii=False).encode())
        failure = FailedData(draw(texts), draw(st.none() | texts))
        event = draw(st.sampled_from([Complete(CompleteData(result)), Failed(failure)]))
        attempt = draw(st.sampled_from([None, 1, 2]))
        await self.appender.settle(self.job_id, event, attempt=attempt)

    async def _abandon(self, draw: Any) -> None:  # noqa: ANN401
        attempt = draw(st.sampled_from([1, 1, 2]))
        await self.appender.abandon(self.job_id, attempt, FailedData(draw(texts)))

    @property
    def _run(self) -> Run:
        return self.runs[-1]


def comparable(state: JobState | None) -> tuple[JobState, Any]:
    """Return the state without its result, and that as what its JSON means."""
    assert state is not None
    return msgspec.structs.replace(state, result=Raw(b"null")), json.loads(bytes(state.result))


def check_publication(
    message: dict[str, Any], entry: Entry, before: list[tuple[str, dict[str, str]]]
) -> None:
    """Check that a publication tells what the log holds, and what came before it."""
    published = decode_publication(json.dumps(message, ensure_ascii=False).encode())
    earlier = [entry_id for entry_id, fields in before if fields["event"] != "_checkpoint"]
    assert (published.name, published.prev) == (entry.name, earlier[-1])
    assert json.loads(published.data) == json.loads(entry.data)


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data(), st.integers(2, 12), st.integers(1, 40))
async def test_the_log_folds_to_the_state_and_refusals_leave_no_trace(  # noqa: PLR0913, PLR0917 - what is drawn
    redis_url: str,
    redis_client: Redis,
    caller: Caller,
    data: st.DataObject,
    max_entries: int,
    steps: int,
) -> None:
    job_id = new_job_id()
    async with (
        jobcast.connect(redis_url, max_entries=max_entries, progress_per_s=None) as jobs,
        Channel(redis_client, f"jobs:{job_id}:events") as channel,
    ):
        history = History(jobs, caller, redis_client, channel, job_id)
        await jobs.create("report", user_id="u1", input=data.draw(json_objects), job_id=job_id)
        assert [message["event"] for message in await channel.rest()] == ["_created"]
        for _ in range(steps):
            status = (await state_of(redis_client, job_id))["status"]
            usual = data.draw(st.sampled_from([True, True, True, True, False]))
            await history.do(data.draw(st.sampled_from(USUAL[status] if usual else ALL)), data.draw)
            assert await redis_client.xlen(f"jobs:{{{job_id}}}:log") <= max_entries + 2


async def test_every_field_of_the_state_is_set_by_a_call_and_folded(
    jobs: jobcast.Jobs, redis_client: Redis
) -> None:
    """A field that is missing here is not drawn above either: add it to both."""
    fields: set[str] = set()
    for _ in range(2):
        job_id = await jobs.create("report", user_id="u1", session_id="s1", input={"n": 1})
        run = jobs.run(job_id)
        await run.start()
        await run.progress(40, "Writing", eta=3, phase="x")
        await jobs.cancel(job_id)
        with suppress(JobCancelled):
            await run.log("cancelled")
        fields |= (await state_of(redis_client, job_id)).keys()
        await (run.fail("No disk", "disk-full") if "error" not in fields else run.complete(1))
        state = await state_of(redis_client, job_id)
        fields |= state.keys()
        entries = [entry_from_log(*entry) for entry in await log_of(redis_client, job_id)]
        assert comparable(fold(entries)) == comparable(JobState.from_hash(state))
    assert set(STATE_FIELDS) <= fields
