"""The work that viewers watch: attempts of a job with numbered events, through the real library."""

import asyncio
import random
import time
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

import jobcast
from tests.faults.forms import Call, Form, opened
from tests.support.service import SESSION
from tests.support.stored import retry, state_of
from tests.support.waiting import after

_PAUSE_S = 0.05
_BLOCK_S = 5.0
_GIVEN_UP = (jobcast.JobSuperseded, jobcast.JobNotRunning, jobcast.JobFinished)


@dataclass(frozen=True)
class Plan:
    """What is decided about a job before it begins.

    Attributes:
        seed: of the events and the pauses between them.
        attempts: how many there are; all but the last one fail.
        events: how many events an attempt that fails has.
        pause_s: the longest time between two events.
        note_bytes: size of the further text in a custom event.
        max_entries: bound of the log.
        lease_s: how long the service waits for a worker that says nothing.
        form: of the library, by which the worker reports.
    """

    seed: str
    attempts: int = 1
    events: int = 30
    pause_s: float = 0.05
    note_bytes: int = 0
    max_entries: int = 10_000
    lease_s: float = 60
    form: Form = "asynchronous"


@dataclass
class Work:
    """One job on its way.

    Attributes:
        confirmed: the entries that were written for certain, and when they were asked for.
        created: id of its first entry.
        owed: numbers of the steps and custom events that waited for Redis, and were followed by a
            confirmed entry of the same run.
        lost_answers: how many appends may have been written or not.
        end: id of the job's last entry once nothing more will happen; empty if the job is lost.
    """

    plan: Plan
    job_id: str = ""
    created: str = ""
    confirmed: dict[str, float] = field(default_factory=dict)
    owed: set[int] = field(default_factory=set)
    lost_answers: int = 0
    end: str | None = None


class Worker:
    """Does the work of one job, and ends its last attempt only when it is told to.

    Whatever becomes of Redis: the library repeats an append that was not answered, and after an
    error the job's state says how to go on.

    Args:
        url: address of Redis for the worker's library.
        direct: a client that reads the state past all faults in the network.
        work: the job; noted there is what was written.
    """

    def __init__(self, url: str, direct: Redis, work: Work) -> None:
        self._url = url
        self._redis = direct
        self.work = work
        self._random = random.Random(work.plan.seed)  # noqa: S311 - chance, not secrecy
        self._number = 0
        self._percent = 0
        self._waiting: set[int] = set()
        self._finish = asyncio.Event()
        self._may_work = asyncio.Event()
        self._may_work.set()
        self._working = asyncio.Lock()

    async def create(self, job_id: str) -> str:
        """Create the job."""
        bound = self.work.plan.max_entries
        async with jobcast.connect(self._url, max_entries=bound, progress_per_s=None) as jobs:
            self.work.job_id = await jobs.create("anything", session_id=SESSION, job_id=job_id)
        self.work.created = (await state_of(self._redis, self.work.job_id))["created"]
        return self.work.job_id

    def finish(self) -> None:
        """Let the last attempt come to its end."""
        self._finish.set()

    @property
    def rests(self) -> bool:
        """Whether it leaves the job to others."""
        return not self._may_work.is_set()

    async def rest(self) -> Work:
        """Let go of the job, after the event that is under way."""
        self._may_work.clear()
        async with self._working:
            return self.work

    def go_on(self) -> None:
        """Take the job over again."""
        self._may_work.set()

    async def run(self) -> None:
        """Work to the end of the job, and on if Redis loses that end before all has healed."""
        is_over = False
        while not is_over:
            has_healed = self._finish.is_set()
            await self._may_work.wait()
            try:
                async with self._working:
                    await self._proceed()
            except (RedisError, OSError):
                self.work.lost_answers += 1
                await after(_PAUSE_S)
            except _GIVEN_UP:
                await after(_PAUSE_S)
            except jobcast.UnknownJob:
                self.work.end = ""
            if self.work.end is not None:
                is_over = has_healed
                await after(0 if is_over else _PAUSE_S)

    async def _proceed(self) -> None:
        """Do what the state of the job asks for next."""
        state = await state_of(self._redis, self.work.job_id)
        is_last = not state or int(state["attempt"]) >= self.work.plan.attempts
        match state.get("status"):
            case None:
                self.work.end = ""
            case _ if state["created"] != self.work.created:
                self.work.end = ""  # somebody else has its id
            case "failed" if not is_last:
                self.work.end = None
                await after(10 * self._random.uniform(0, self.work.plan.pause_s))
                await retry(self._redis, self.work.job_id)
            case "succeeded" | "failed":
                self.work.end = state["last"]
            case _:
                self.work.end = None
                plan, job_id = self.work.plan, self.work.job_id
                async with opened(
                    plan.form, self._url, job_id, lease_s=plan.lease_s, block_s=_BLOCK_S
                ) as call:
                    await self._attempt(call, is_last=is_last)

    async def _attempt(self, call: Call, *, is_last: bool) -> None:
        self._percent = 0
        self._waiting.clear()
        await self._append(call, "start")
        left = self.work.plan.events
        while not self._finish.is_set() if is_last else left:
            if self.rests:
                return
            left -= 1
            what = self._random.choice(["progress"] * 5 + ["step", *["emit"] * 4])
            await self._append(call, what)
            await after(self._random.uniform(0, self.work.plan.pause_s))
        await self._append(call, "complete" if is_last and self._random.random() < 0.7 else "fail")

    async def _append(self, call: Call, what: str) -> None:
        asked = time.time()
        self._number += 1
        number = self._number
        match what:
            case "start":
                entry_id = await call("start")
            case "progress":
                self._percent = min(self._percent + self._random.randrange(2), 99)
                entry_id = await call("progress", self._percent, f"Part {number}", n=number)
            case "step":
                # One in three goes back, as only a step may.
                self._percent = self._random.choice([0, self._percent, self._percent])
                entry_id = await call("step", f"Step {number}", progress=self._percent, n=number)
            case "emit":
                data = {"n": number, "text": "x" * self.work.plan.note_bytes}
                entry_id = await call("emit", "note", data)
            case "complete":
                entry_id = await call("complete", {"n": number})
            case _:
                entry_id = await call("fail", f"Trouble {number}", "TROUBLE")
        if entry_id:
            self.work.confirmed[entry_id] = asked
            self.work.owed |= self._waiting
            self._waiting.clear()
        else:
            self.work.lost_answers += 1
            if what in ("step", "emit"):
                self._waiting.add(number)
