"""One scenario: what a seed decides, what happened then, and which promises were broken."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from tests.faults.catalogue import FAULTS
from tests.faults.clock import Clock
from tests.faults.event_source import Page
from tests.faults.fault import Fault
from tests.faults.forms import ADAPTER, FORMS, HAS_NODE
from tests.faults.measure import Recovery, recoveries
from tests.faults.oracle import truth_violations, violations
from tests.faults.workload import Plan, Work
from tests.faults.world import Form, World, world
from tests.support.nginx import BINARY
from tests.support.waiting import after, until

_PATIENCE_S = 30.0
_FORMS: Final[Sequence[Form]] = ("plain",) * 6 + ("sentinel", "cluster")
_FEW = 2
"""Jobs, and viewers of each, among whom large events are sent."""

_BEGUN = 5
"""How many events each viewer has seen before anything goes wrong."""


OF_ALL_FORMS: Final = {
    "redis-killed": 5.0,  # as long as the workers' calls wait for it
    "workers-cut-off": FAULTS["workers-cut-off"].seconds,
    "sentinel-primary-killed": FAULTS["sentinel-primary-killed"].seconds,
    "cluster-node-killed": FAULTS["cluster-node-killed"].seconds,
    "worker-killed": FAULTS["worker-killed"].seconds,
}
"""The faults of what workers need, by name, and their seconds."""

_OF_THE_ADAPTER: Final = ("redis-killed", "worker-killed")
"""Those that an adapter meets as well: its worker takes longer to start than the others."""


@dataclass(frozen=True)
class Blow:
    """One fault of a scenario, when it strikes after the one before it, and for how long."""

    pause_s: float
    fault: type[Fault]
    length_s: float


@dataclass(frozen=True)
class Scenario:
    """What is decided before anything happens; equal seeds give equal scenarios.

    Attributes:
        seed: of all that is left to chance.
        blows: the faults of each target, one after the other; targets are struck side by side.
        plans: the jobs.
        pages: viewers of each job.
        form: how Redis is run.
        nginx: whether it stands before the services.
        haste: by what the waits of viewers are multiplied.
        settings: of the services.
    """

    seed: str
    blows: Sequence[Sequence[Blow]]
    plans: Sequence[Plan]
    pages: int
    form: Form
    nginx: bool
    haste: float
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def single(cls, seed: int, name: str) -> Self:
        """Return one fault on two jobs, with the patience of real browsers."""
        chance = random.Random(f"{seed} {name}")  # noqa: S311 - chance, not secrecy
        fault = FAULTS[name]
        plans = _plans(chance, f"{seed} {name}", 2, fault.note_bytes)
        # Between two attempts viewers wait as well, so one job has a single one: it is measured.
        plans = [replace(plans[0], attempts=1), plans[1]]
        return cls(
            seed=f"{seed} {name}",
            blows=[[Blow(chance.uniform(0, 0.3), fault, fault.seconds)]],
            plans=plans,
            pages=fault.pages,
            form=fault.form or "plain",
            nginx=chance.random() < 0.5,
            haste=1,
            settings={"JOBCAST_KEEPALIVE_S": "1", **fault.settings},
        )

    @classmethod
    def of_all_forms(cls, seed: int, name: str) -> Self:
        """Return one fault on a job of each form of the library, of those that this machine has.

        Some on a job of an adapter as well.
        """
        single = cls.single(seed, name)
        chance = random.Random(f"{seed} {name} forms")  # noqa: S311 - chance, not secrecy
        forms = [form for form in FORMS if form != "Node" or HAS_NODE]
        forms += [ADAPTER] if name in _OF_THE_ADAPTER else []
        plans = _plans(chance, f"{seed} {name} forms", len(forms), FAULTS[name].note_bytes)
        (blow,) = single.blows[0]
        return replace(
            single,
            seed=f"{seed} {name} forms",
            blows=[[replace(blow, length_s=OF_ALL_FORMS.get(name, blow.length_s))]],
            plans=[
                replace(
                    plan, form=form, attempts=1 if number == 0 or form == ADAPTER else plan.attempts
                )
                for number, (plan, form) in enumerate(zip(plans, forms, strict=True))
            ],
            pages=_FEW,
        )

    @classmethod
    def mixed(cls, seed: int) -> Self:
        """Return faults of several targets at once, on jobs with viewers in a hurry."""
        chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
        form = chance.choice(_FORMS)
        forgetful = form == "sentinel" or chance.random() < 0.15
        usable = [
            fault
            for fault in FAULTS.values()
            if fault.form in (None, form) and fault.loses <= forgetful
        ]
        targets = sorted({fault.target for fault in usable})
        blows: list[list[Blow]] = []
        for target in chance.sample(targets, chance.randint(2, 4)):
            of_target = [fault for fault in usable if fault.target == target]
            blows.append([])
            for _ in range(chance.randint(1, 3)):
                faults = _faults_of(blows)
                fitting = [fault for fault in of_target if _go_together([*faults, fault])]
                blows[-1].append(_blow(chance, chance.choice(fitting)))
        faults = _faults_of(blows)
        note_bytes = max(fault.note_bytes for fault in faults)
        jobs, pages = chance.randint(1, 4), chance.randint(1, 6)
        if note_bytes:
            jobs, pages = min(jobs, _FEW), min(pages, _FEW)
        lease_s = [60, 60, 1.5]
        if any(fault.name == "worker-lost" for fault in faults):
            lease_s = [1.5]  # else it might last until the test is over
        age_s = chance.choice(["600", "600", "2"])
        plans = _plans(chance, str(seed), jobs, note_bytes)
        settings = {name: value for fault in faults for name, value in fault.settings.items()}
        return cls(
            seed=str(seed),
            blows=blows,
            plans=[
                replace(
                    plan,
                    lease_s=chance.choice(lease_s),
                    max_entries=chance.choice([10_000, 10_000, 60]),
                )
                for plan in plans
            ],
            pages=pages,
            form=form,
            nginx=chance.random() < 0.5,
            haste=0.1,
            settings={
                "JOBCAST_KEEPALIVE_S": "1",
                "JOBCAST_STREAM_MAX_AGE_S": age_s,
                "JOBCAST_STALL_GRACE_S": "1",
                **settings,
            },
        )

    @property
    def loses(self) -> bool:
        """Whether Redis will lose data."""
        return any(fault.loses for fault in _faults_of(self.blows))

    @property
    def needs_clock(self) -> bool:
        """Whether a clock is to jump, which libfaketime makes possible."""
        return any(fault.needs_clock for fault in _faults_of(self.blows))

    def chance(self, name: str) -> random.Random:
        """Return what decides further about a part of it, whatever the others do meanwhile."""
        return random.Random(f"{self.seed} {name}")  # noqa: S311 - chance, not secrecy

    def __str__(self) -> str:
        """Tell what is going to happen."""
        blows = " | ".join(", ".join(blow.fault.name for blow in each) for each in self.blows)
        front = "nginx" if self.nginx else "TCP"
        forms = " + ".join(dict.fromkeys(plan.form for plan in self.plans))
        jobs = f"{len(self.plans)} jobs ({forms}) x {self.pages} viewers"
        return f"{blows}; {jobs}, {self.form}, {front}"


@dataclass
class Outcome:
    """What came of a scenario.

    Attributes:
        violations: the broken promises.
        recoveries: of each viewer that was there when the last fault struck.
        events: how many were appended.
        seconds: how long it took.
    """

    scenario: Scenario
    violations: list[str]
    recoveries: list[Recovery]
    events: int
    seconds: float


async def play(scenario: Scenario) -> Outcome:
    """Let a scenario happen, and judge it."""
    begun = time.monotonic()
    nginx = scenario.nginx and BINARY is not None
    async with world(
        form=scenario.form,
        clock=Clock() if scenario.needs_clock else None,
        nginx=nginx,
        haste=scenario.haste,
        settings=scenario.settings,
    ) as made:
        pages = await _begin(made, scenario)
        struck = time.time()
        async with asyncio.TaskGroup() as group:
            for blows in scenario.blows:
                group.create_task(_strike(made, blows, scenario.chance(blows[0].fault.target)))
            for number, work in enumerate(made.works):
                group.create_task(_join_late(made, work, scenario.chance(f"joins {number}")))
        healed = time.time()
        await _until_work_goes_on(made, healed)
        for worker in made.workers:
            worker.finish()
        await _within(_PATIENCE_S, *made.running)
        await asyncio.gather(*(page.closed(_PATIENCE_S) for page in made.pages))
        found = await _judged(made, lost=scenario.loses)
        return Outcome(
            scenario,
            found,
            recoveries(pages, made.works, struck, healed),
            sum(len(work.confirmed) for work in made.works),
            time.monotonic() - begun,
        )


def _blow(chance: random.Random, fault: type[Fault]) -> Blow:
    """Return a blow among others."""
    mixed = fault.mixed_seconds
    return Blow(chance.uniform(0, 1.5), fault, fault.seconds if mixed is None else mixed)


def _faults_of(blows: Sequence[Sequence[Blow]]) -> list[type[Fault]]:
    return [blow.fault for each in blows for blow in each]


def _go_together(faults: Sequence[type[Fault]]) -> bool:
    names = {fault.name for fault in faults}
    return not any(fault.apart_from & names for fault in faults)


def _plans(chance: random.Random, seed: str, jobs: int, note_bytes: int) -> Sequence[Plan]:
    return [
        Plan(
            f"{seed} {number}",
            attempts=chance.randint(1, 3),
            events=chance.randint(5, 60),
            pause_s=0.06,
            note_bytes=note_bytes or 200,
        )
        for number in range(jobs)
    ]


async def _begin(made: World, scenario: Scenario) -> Sequence[Page]:
    """Begin all jobs, and have each viewer see something before anything happens."""
    for plan in scenario.plans:
        work = await made.begin(plan)
        for _ in range(scenario.pages):
            made.watch(work)
        made.watch(work, narrow=True)

    def begun() -> bool:
        return all(
            sum(len(source.shown) for source in page.history.sources) >= _BEGUN
            for page in made.pages
        )

    await until(begun, _PATIENCE_S, f"each viewer has seen {_BEGUN} events")
    return tuple(made.pages)


async def _strike(made: World, blows: Sequence[Blow], chance: random.Random) -> None:
    for blow in blows:
        await after(blow.pause_s)
        fault = blow.fault(made, chance, blow.length_s)
        await fault.strike()
        try:
            await after(blow.length_s)
        finally:
            await fault.heal()


async def _join_late(made: World, work: Work, chance: random.Random) -> None:
    """Open a further page, at a time when something may be wrong."""
    await after(chance.uniform(0, 1.5))
    made.watch(work)


async def _until_work_goes_on(made: World, healed: float) -> None:
    def goes_on() -> bool:
        return all(
            work.end is not None
            or sum(asked > healed for asked in work.confirmed.values()) > _BEGUN
            for work in made.works
        )

    await until(goes_on, _PATIENCE_S, f"each worker has appended {_BEGUN} events since all healed")


async def _within(seconds: float, *tasks: asyncio.Task[None]) -> None:
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in done:
        await task
    assert not late, "a job did not come to its end"


async def _judged(made: World, *, lost: bool) -> list[str]:
    found = list(made.trouble)
    for work in made.works:
        truth = await made.truth(work, lost=lost)
        found += truth_violations(truth)
        for page in made.pages:
            if page.history.job_id == work.job_id:
                found += violations(page.history, truth)
    return found
