"""A crowd is answered late, and not by 503: the time for an answer is for Redis."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, Final, cast

from actors.directory import Directory
from app.auth import Authenticator
from app.raw_request import RawRequest
from app.settings import Settings
from app.streaming.decision import Decision, Streams
from app.streaming.viewers import Viewers
from schema.owner import Owner
from schema.state import JobState
from tests.support.clock import in_virtual_time
from tests.support.job_world import JOB, Feed, JobLog

SETTINGS: Final = Settings(jwt_secret="s" * 32, streams_per_process=50_000)
CROWD: Final = 5000
A_ROUND: Final = 100
ROUND_S: Final = 0.1


class SlowJobs:
    """Answers so many who ask in each round, in the order in which they came; or nobody."""

    def __init__(self, state: JobState) -> None:
        self._state = state
        self._asking = list[asyncio.Future[None]]()
        self.most = 0

    async def owned(self, _owner: Owner, job_id: str) -> tuple[str, JobState]:
        """Do what ``Jobs.owned`` does."""
        answered = asyncio.get_running_loop().create_future()
        self._asking.append(answered)
        self.most = max(self.most, len(self._asking))
        try:
            await answered
        finally:
            if answered in self._asking:
                self._asking.remove(answered)
        return job_id, self._state

    async def run(self) -> None:
        """Answer, until cancelled."""
        while True:
            await asyncio.sleep(ROUND_S)
            for answered in self._asking[:A_ROUND]:
                answered.set_result(None)
            del self._asking[:A_ROUND]


async def decided(jobs: SlowJobs, log: JobLog, count: int) -> Counter[str]:
    """Have so many ask at once; return how many were decided about in which way."""
    viewers = Viewers(SETTINGS)
    streams = Streams(
        settings=SETTINGS,
        authenticator=Authenticator(SETTINGS),
        jobs=cast("Any", SimpleNamespace(owned=jobs.owned)),
        reader=cast("Any", None),
        directory=Directory(Feed(), log),
        viewers=viewers,
        active_jobs=cast("Any", None),
        announcements=cast("Any", None),
    )
    headers = [(b"x-session-id", b"s1")]
    asked = {"method": "GET", "query_string": b"", "headers": headers}

    async def one() -> Decision:
        return await streams.decide(RawRequest(dict(asked)), JOB)

    decisions = await asyncio.gather(*(one() for _ in range(count)))
    return Counter(type(decision).__name__ for decision in decisions)


def test_nobody_of_a_crowd_is_refused_for_having_waited_for_the_others() -> None:
    async def scenario() -> None:
        log = JobLog()
        log.start()
        jobs = SlowJobs(log.state)
        answering = asyncio.create_task(jobs.run())
        assert await decided(jobs, log, CROWD) == {"LiveStream": CROWD}
        assert jobs.most < CROWD
        answering.cancel()

    in_virtual_time(scenario())


def test_each_of_a_crowd_is_refused_while_redis_is_silent() -> None:
    async def scenario() -> None:
        log = JobLog()
        log.start()
        began = asyncio.get_running_loop().time()
        assert await decided(SlowJobs(log.state), log, CROWD) == {"Refusal": CROWD}
        assert asyncio.get_running_loop().time() - began < 20

    in_virtual_time(scenario())
