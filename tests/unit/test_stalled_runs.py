"""When the service dares to say that a worker is lost: time is a script here, Redis is not."""

import asyncio
from itertools import pairwise
from typing import cast

import pytest

from app.upkeep.stalled_runs import StalledRuns
from eventlog.append import Appender
from eventlog.errors import AppendRefused, JobFinished, Leased, LogUnavailable, Superseded
from eventlog.leases import LeasedRun, Leases, Times
from eventlog.redis_calls import COMMAND_TIMEOUT_S
from jobcast.protocol.append import Answer
from tests.support.clock import in_virtual_time

GRACE_S = 20.0
HERE = "here"


class Index:
    """An index of leases, and the clock of Redis, in seconds; None while it is away.

    A job of the id ``there:j1`` is on the server ``there``, one without a colon where the index is;
    ``ahead_s`` are the servers that can be reached, and by how much their clocks are ahead.
    """

    def __init__(self, *runs: str) -> None:
        self.runs = list(runs)
        self.now_s: float | None = 1000.0
        self.ahead_s = {HERE: 0.0}
        self.postponed: dict[str, int] = {}

    async def check(self) -> Times:
        return self.times()

    def times(self) -> Times:
        if self.now_s is None:
            raise LogUnavailable
        times = {name: round((self.now_s + by) * 1000) for name, by in self.ahead_s.items()}
        return Times(times[HERE], times)

    def server_of(self, run: LeasedRun) -> str | None:
        server, colon, _ = run.job_id.partition(":")
        return server if colon else HERE

    async def claim(self, until_ms: int, limit: int, for_ms: int) -> list[LeasedRun]:
        assert until_ms == self.times().index_ms
        assert for_ms == GRACE_S * 1000
        claimed, self.runs = self.runs[:limit], self.runs[limit:]
        return [LeasedRun(f"{run}:r".encode(), run, b"r") for run in claimed]

    async def postpone(self, run: LeasedRun, by_ms: int) -> None:
        self.postponed[run.job_id] = by_ms

    async def remove(self, run: LeasedRun) -> None:
        assert run.job_id not in self.postponed


class Jobs:
    """Jobs that may be failed, but for those named."""

    def __init__(self, **refusals: AppendRefused | LogUnavailable) -> None:
        self.failed: list[str] = []
        self._refusals = refusals

    async def stall(self, job_id: str, run: bytes) -> Answer:
        assert run == b"r"
        if job_id in self._refusals:
            raise self._refusals[job_id]
        self.failed.append(job_id)
        return Answer("1-1", cancel_requested=False, receivers=0, attempt=1, status_before="")


def stalled_runs(index: Index, jobs: Jobs) -> StalledRuns:
    return StalledRuns(cast("Leases", index), cast("Appender", jobs), GRACE_S)


async def look_at(watch: StalledRuns, index: Index, *times_s: float) -> None:
    for index.now_s in times_s:
        await watch.check()


async def test_nobody_is_failed_until_a_grace_after_the_start() -> None:
    index, jobs = Index("j1"), Jobs()
    watch = stalled_runs(index, jobs)
    await look_at(watch, index, 1000, 1005, 1012, 1019.9)
    assert jobs.failed == []
    await look_at(watch, index, 1020)
    assert jobs.failed == ["j1"]
    assert watch.stalled == 1


@pytest.mark.parametrize("gap_s", [20.1, 3600, -1], ids=["just too long", "a sleep", "backwards"])
async def test_a_gap_in_the_looks_begins_the_grace_again(gap_s: float) -> None:
    index, jobs = Index(), Jobs()
    watch = stalled_runs(index, jobs)
    await look_at(watch, index, 1000, 1010, 1020)
    index.runs.append("j1")
    back = 1020 + gap_s
    await look_at(watch, index, back, back + 10, back + 19.9)
    assert jobs.failed == []
    await look_at(watch, index, back + 20)
    assert jobs.failed == ["j1"]


async def test_an_outage_of_redis_begins_the_grace_again(monkeypatch: pytest.MonkeyPatch) -> None:
    script = iter([1000, 1010, 1020, None, 1025, 1035, 1044.9, 1045])
    failed_at: list[float | None] = []

    class Done(Exception):
        pass

    async def next_look(_: float) -> None:
        if jobs.failed and not failed_at:
            failed_at.append(index.now_s)
        if index.now_s == 1020:
            index.runs.append("j1")
        index.now_s = next(script, None)
        if index.now_s is None and failed_at:
            raise Done

    index, jobs = Index(), Jobs()
    index.now_s = next(script)
    monkeypatch.setattr("app.upkeep.stalled_runs.asyncio.sleep", next_look)
    with pytest.raises(Done):
        await stalled_runs(index, jobs).run()
    assert failed_at == [1045]


async def test_more_than_a_batch_is_failed_in_one_look() -> None:
    index, jobs = Index(*(f"j{n}" for n in range(95))), Jobs()
    await look_at(stalled_runs(index, jobs), index, 1000, 1010, 1020)
    assert len(jobs.failed) == 95


async def test_a_server_that_was_away_alone_begins_the_grace_alone() -> None:
    index, jobs = Index(), Jobs()
    index.ahead_s["there"] = 0
    watch = stalled_runs(index, jobs)
    await look_at(watch, index, 1000, 1010, 1020)
    del index.ahead_s["there"]
    index.runs += [f"there:j{n}" for n in range(95)] + ["j1"]
    await look_at(watch, index, 1030)
    assert jobs.failed == ["j1"]
    index.ahead_s["there"] = 0
    index.runs += ["there:j1", "j2"]
    await look_at(watch, index, 1035, 1045)
    index.runs += ["there:j1"]
    await look_at(watch, index, 1054.9)
    assert jobs.failed == ["j1", "j2"]
    index.runs += ["there:j1"]
    await look_at(watch, index, 1055)
    assert jobs.failed == ["j1", "j2", "there:j1"]


async def test_a_server_that_took_over_begins_the_grace_whatever_its_clock_says() -> None:
    index, jobs = Index(), Jobs()
    index.ahead_s["there"] = 0
    watch = stalled_runs(index, jobs)
    await look_at(watch, index, 1000, 1010, 1020)
    index.ahead_s = {HERE: 0, "elsewhere": 7}
    for now_s in (1025, 1035, 1044.9):
        index.runs.append("elsewhere:j1")
        await look_at(watch, index, now_s)
    assert jobs.failed == []
    index.runs.append("elsewhere:j1")
    await look_at(watch, index, 1045)
    assert jobs.failed == ["elsewhere:j1"]


@pytest.mark.parametrize("server", ["there", ""], ids=["looked at never", "served by nobody"])
async def test_a_job_of_which_no_server_is_known_is_not_failed(server: str) -> None:
    index, jobs = Index(), Jobs()
    watch = stalled_runs(index, jobs)
    await look_at(watch, index, 1000, 1010)
    index.runs += [f"{server}:j1", "j1"]
    await look_at(watch, index, 1020)
    assert jobs.failed == ["j1"]


def test_jobs_that_cannot_be_reached_make_no_gap_in_the_looks() -> None:
    class Mute(Jobs):
        async def stall(self, job_id: str, run: bytes) -> Answer:
            await asyncio.sleep(COMMAND_TIMEOUT_S)
            return await super().stall(job_id, run)

    class Clocked(Index):
        async def check(self) -> Times:
            self.now_s = asyncio.get_running_loop().time()
            looks_s.append(self.now_s)
            return await super().check()

    async def watch() -> None:
        index, jobs = Clocked(*(f"j{n}" for n in range(1000))), Mute()
        running = asyncio.create_task(stalled_runs(index, jobs).run())
        await asyncio.sleep(600)
        running.cancel()
        assert len(jobs.failed) == 1000

    looks_s = list[float]()
    in_virtual_time(watch())
    assert max(after - before for before, after in pairwise(looks_s)) < GRACE_S * 3 / 4


async def test_what_is_leased_is_looked_at_again_and_what_is_over_is_not() -> None:
    index = Index("leased", "finished", "superseded", "away", "lost")
    jobs = Jobs(
        leased=Leased("1234 ms of the lease are left"),
        finished=JobFinished(),
        superseded=Superseded(),
        away=LogUnavailable(),
    )
    await look_at(stalled_runs(index, jobs), index, 1000, 1010, 1020)
    assert index.postponed == {"leased": 1234}
    assert jobs.failed == ["lost"]
