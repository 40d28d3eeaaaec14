"""tqdm's bar, in the terminal and on the job's page."""

import asyncio
import io
import json
import threading
from collections.abc import Callable
from itertools import groupby
from typing import Any

import pytest
from tqdm import std as plain

import jobcast
import jobcast.sync
from jobcast import JobCancelled
from jobcast.tqdm import tqdm, trange
from tests.support.stores import Store
from tests.support.waiting import eventually

FORMS = ["drawn", "disabled"]


async def counts_of(store: Store) -> list[dict[str, Any]]:
    log = await store.log()
    updates = [fields["data"] for _, fields in log if fields["event"] == "progress-update"]
    return [json.loads(data) for data in updates]


@pytest.mark.parametrize("form", FORMS)
async def test_a_bar_is_drawn_and_reported(store: Store, form: str) -> None:
    terminal = io.StringIO()
    with store.connect_sync() as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"):
            bar = tqdm(range(500), "Hashing", unit="file", file=terminal, disable=form != "drawn")
            assert list(bar) == list(range(500))
    last = (await counts_of(store))[-1]
    assert (last["current"], last["total"], last["unit"]) == (500, 500, "file")
    assert (last["currentStep"], last["progress"]) == ("Hashing", 100)
    assert ("Hashing" in terminal.getvalue()) == (form == "drawn")


@pytest.mark.parametrize("form", FORMS)
async def test_a_bar_by_hand_is_reported(store: Store, form: str) -> None:
    with store.connect_sync() as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"), tqdm(total=10, file=io.StringIO(), disable=form != "drawn") as bar:
            bar.update(3)
            bar.update()
    last = (await counts_of(store))[-1]
    assert (last["current"], last["total"], last["progress"]) == (4, 10, 40)
    assert "unit" not in last


async def test_a_bar_in_a_task_is_reported_when_the_loop_has_time(
    jobs: jobcast.Jobs, store: Store
) -> None:
    await jobs.create("report", user_id="u1", job_id="j1")

    async def is_reported() -> bool:
        counts = await counts_of(store)
        return bool(counts) and counts[-1]["current"] == 50

    async with jobs.run("j1"):
        for _ in tqdm(range(50), file=io.StringIO()):
            pass
        await eventually(is_reported)
        await asyncio.to_thread(lambda: list(tqdm(range(70), file=io.StringIO())))
    assert (await counts_of(store))[-1]["current"] == 70


async def test_a_cancel_request_ends_the_loop(store: Store) -> None:
    with store.connect_sync() as jobs:
        run = jobs.run(jobs.create("report", user_id="u1", job_id="j1"))
        run.start()
        await store.cancel()
        with pytest.raises(JobCancelled):
            list(tqdm(range(1_000_000), file=io.StringIO()))
        run.fail("Cancelled")


def test_without_a_job_it_is_a_bar() -> None:
    assert list(tqdm(range(3), file=io.StringIO())) == [0, 1, 2]


@pytest.mark.parametrize("form", FORMS)
async def test_a_bar_that_is_reset_begins_again(store: Store, form: str) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"), tqdm(total=10, file=io.StringIO(), disable=form != "drawn") as bar:
            bar.update(4)
            bar.reset(total=5)
            bar.update(1)
    counts = await counts_of(store)
    assert (counts[-1]["current"], counts[-1]["total"]) == (1, 5)
    assert [n for n, _ in groupby(each["current"] for each in counts)][-3:] == [4, 0, 1]


@pytest.mark.parametrize("form", FORMS)
async def test_a_description_that_changes_is_the_step(store: Store, form: str) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with (
            jobs.run("j1"),
            tqdm(range(2), "One", file=io.StringIO(), disable=form != "drawn") as bar,
        ):
            for n in bar:
                bar.set_description(f"File {n}", refresh=False)
                bar.set_description_str(f"Then {n}")
                bar.set_description()
    steps = [each["currentStep"] for each in await counts_of(store)]
    # Without a description the step stays, for a job has one until the next begins.
    assert [step for step, _ in groupby(steps)] == [
        *("One", "File 0", "Then 0", "File 1", "Then 1"),
    ]


async def test_what_is_set_by_hand_is_reported(store: Store) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"), tqdm(total=10, file=io.StringIO()) as bar:
            bar.n, bar.total = 7, 20
            bar.refresh()
    last = (await counts_of(store))[-1]
    assert (last["current"], last["total"], last["progress"]) == (7, 20, 35)


async def test_a_bar_within_another_is_a_share_of_its_item(store: Store) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"):
            for _ in tqdm(range(2), "Files", file=io.StringIO()):
                for _ in trange(2, desc="Pages", file=io.StringIO()):
                    pass
    counts = [(each["progress"], each["currentStep"]) for each in await counts_of(store)]
    assert [each for each, _ in groupby(counts)] == [
        *((0, "Files"), (0, "Pages"), (25, "Pages"), (50, "Pages"), (50, "Files")),
        *((50, "Pages"), (75, "Pages"), (100, "Pages"), (100, "Files")),
    ]


class Odd:
    """A description that is no text."""

    def __add__(self, other: str) -> str:
        return f"odd{other}"

    def __str__(self) -> str:
        return "odd"


def after_its_end(kind: type[plain.tqdm]) -> None:
    bar = kind(total=1, file=io.StringIO())
    bar.close()
    bar.update()
    bar.reset()
    bar.set_description("late")
    bar.refresh()


ODD: dict[str, Callable[[type[plain.tqdm]], object]] = {
    "back at 0": lambda kind: kind(total=5, file=io.StringIO()).update(-1),
    "back by hand, disabled": lambda kind: kind(total=5, disable=True).update(-1),
    "infinite total": lambda kind: kind(total=float("inf"), file=io.StringIO()).update(2),
    "no number": lambda kind: kind(total=5, disable=True).update(float("nan")),
    "total below 0": lambda kind: kind(total=-5, file=io.StringIO()).update(2),
    "initial below 0": lambda kind: kind(total=5, initial=-3, file=io.StringIO()).update(1),
    "no Unicode": lambda kind: kind(total=5, desc="file \udcff", file=io.StringIO()).update(1),
    "unit": lambda kind: kind(total=5, unit="\udcff", file=io.StringIO()).update(1),
    "odd description": lambda kind: kind(total=5, desc=Odd(), file=io.StringIO()).update(1),
    "odd change": lambda kind: kind(total=5, file=io.StringIO()).set_description(Odd()),
    "after its end": after_its_end,
    "closed twice": lambda kind: [bar := kind([1], file=io.StringIO()), bar.close(), bar.close()],
    "reset by another total": lambda kind: kind([1], file=io.StringIO()).reset(float("inf")),
    "unknown argument": lambda kind: kind([1], nothing=1, file=io.StringIO()),
}


@pytest.mark.filterwarnings("ignore")  # tqdm's own, of a bar that is full
@pytest.mark.parametrize("what", ODD)
def test_what_tqdm_takes_is_taken_and_what_it_refuses_is_refused(
    store: Store, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A bar that can't be drawn leaves tqdm's lock locked, for its monitor and forked processes too.
    for kind in (plain.tqdm, tqdm):
        monkeypatch.setattr(kind, "_lock", threading.RLock(), raising=False)
    monkeypatch.setattr(plain.tqdm, "monitor_interval", 0)

    def outcome(kind: type[plain.tqdm]) -> type[Exception] | None:
        try:
            ODD[what](kind)
        except Exception as error:  # noqa: BLE001 - any may come
            return type(error)
        return None

    expected = outcome(plain.tqdm)
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"):
            assert outcome(tqdm) == expected


class Scalar:
    """Counts as a number of numpy does, which is neither int nor float."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number

    def __add__(self, other: Any) -> "Scalar":  # noqa: ANN401 - any number
        return Scalar(self._number + int(other))

    __radd__ = __add__


async def test_a_bar_may_count_with_numbers_of_other_libraries(store: Store) -> None:
    with store.connect_sync(progress_per_s=None) as jobs:
        jobs.create("report", user_id="u1", job_id="j1")
        with jobs.run("j1"), tqdm(total=10, disable=True) as bar:
            bar.update(Scalar(3))
            bar.update(4)
    assert (await counts_of(store))[-1]["current"] == 7


async def test_a_bar_that_is_left_open_is_no_matter_of_the_next_job(store: Store) -> None:
    terminal = io.StringIO()
    with store.connect_sync(progress_per_s=None) as jobs:
        for name in ("j1", "j2"):
            jobs.create("report", user_id="u1", job_id=name)
        with jobs.run("j1") as first:
            bar = tqdm(total=5, file=terminal)
            first.complete()
            bar.update()
        other = jobs.run(jobs.create("report", user_id="u1"))
        other.start()
        left = tqdm(total=5, file=terminal)
        jobs.run(other.job_id).start()  # takes it over
        with jobs.run("j2"):
            tqdm.write("drawn above all open bars", file=terminal)
        for each in (bar, left):
            each.close()
    assert (await store.state("j2"))["status"] == "succeeded"
