"""The oracle finds what is broken: each lie of a proxy, and each in what Redis has in the end."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from redis.asyncio import Redis

from jobcast.protocol.names import new_job_id
from schema.entry import Entry
from schema.entry_id import position
from schema.state import fold
from tests.faults.event_source import Page
from tests.faults.history import (
    FOREIGN,
    PROGRESS,
    STEP,
    TERMINAL,
    History,
    Shown,
    Source,
    Truth,
    Visit,
    read_truth,
    truth_of_deleted,
)
from tests.faults.oracle import truth_violations, violations
from tests.faults.relay import Lie, Relay, honest, name_of
from tests.faults.workload import Plan, Work, Worker
from tests.support.service import Service
from tests.support.waiting import until

HASTE = 0.01
PLAN = Plan("oracle", attempts=2, events=25, pause_s=0.005)
Seen = tuple[Truth, list[History]]
Seeing = Callable[..., "asyncio.Future[Seen]"]
Watched = Callable[..., "asyncio.Future[list[str]]"]


@pytest.fixture
def seeing(service: Service, redis_url: str, redis_client: Redis) -> Seeing:
    """Return what has a job watched through a relay, and returns what there was and was seen."""

    async def watch(
        lie: Lie = honest, *, within_s: float = 10, cut_after: int = 1000, answers: int = 0
    ) -> Seen:
        work = Work(PLAN)
        worker = Worker(redis_url, redis_client, work)
        await worker.create(new_job_id())
        async with Relay(service.url, lie, cut_after=cut_after, answers=answers) as between:
            pages = [
                Page(f"page {number}", between.url, work.job_id, lambda: work.end, haste=HASTE)
                for number in range(2)
            ]
            for page in pages:
                page.open()
            running = asyncio.ensure_future(worker.run())
            await until(lambda: len(work.confirmed) >= 60)
            worker.finish()
            await running
            await asyncio.gather(*(page.closed(within_s) for page in pages))
        truth = await read_truth(redis_client, work.job_id, list(work.confirmed))
        assert truth_violations(truth) == []
        return truth, [page.history for page in pages]

    return lambda *args, **options: asyncio.ensure_future(watch(*args, **options))


@pytest.fixture
def watched(seeing: Seeing) -> Watched:
    """Return what has a job watched through a relay, and returns what the oracle says."""

    async def watch(*args: Lie, **options: int) -> list[str]:
        truth, histories = await seeing(*args, **options)
        return [text for history in histories for text in violations(history, truth)]

    return lambda *args, **options: asyncio.ensure_future(watch(*args, **options))


def once(is_it: Callable[[bytes], bool], lie: Lie) -> Lie:
    """Lie about the third block of a kind only."""
    count = iter(range(1000))

    def tell(block: bytes) -> list[bytes]:
        return lie(block) if is_it(block) and next(count) == 3 else [block]

    return tell


def is_progress(block: bytes) -> bool:
    """Say whether it is a report of progress that the viewer has seen some of before."""
    return name_of(block) == PROGRESS and percent_of(block) > 1


def percent_of(block: bytes) -> int:
    return int(block.partition(b'"progress":')[2].partition(b",")[0])


def late(name: str) -> Lie:
    """Send each event of that name after the one that follows it."""
    held: list[bytes] = []

    def tell(block: bytes) -> list[bytes]:
        if name_of(block) == name and not held:
            held.append(block)
            return []
        sent, held[:] = [block, *held], []
        return sent

    return tell


def is_note(block: bytes) -> bool:
    return name_of(block) == "note"


def without_id(block: bytes) -> list[bytes]:
    return [b"".join(line for line in block.splitlines(keepends=True) if line[:3] != b"id:")]


@pytest.mark.parametrize("cut_after", [1000, 5])
async def test_an_honest_relay_breaks_no_promise(watched: Watched, cut_after: int) -> None:
    assert await watched(cut_after=cut_after) == []


async def test_a_lost_terminal_is_found(watched: Watched) -> None:
    found = await watched(lambda b: [] if name_of(b) in TERMINAL else [b], within_s=1)
    assert any("as the end of the job" in text for text in found)


async def test_a_duplicate_is_found(watched: Watched) -> None:
    found = await watched(once(is_note, lambda block: [block, block]))
    assert len(found) == 1
    assert "was shown note" in found[0]


async def test_a_swallowed_event_is_found(watched: Watched) -> None:
    found = await watched(once(is_note, lambda _block: []))
    assert len(found) == 1
    assert "was never shown note" in found[0]


async def test_a_swallowed_id_is_found(watched: Watched) -> None:
    assert any("was shown note" in text for text in await watched(once(is_note, without_id)))


async def test_a_503_to_a_viewer_that_comes_back_is_found(watched: Watched) -> None:
    found = await watched(answers=503, cut_after=20, within_s=1)
    assert any("was refused for good with 503" in text for text in found)


async def test_a_reordered_step_is_found(watched: Watched) -> None:
    assert any("was shown step-change" in text for text in await watched(late(STEP)))


async def test_a_progress_that_was_not_the_newest_before_the_end_is_found(watched: Watched) -> None:
    found = await watched(lambda block: [] if name_of(block) == PROGRESS else [block])
    assert any("without the newest progress" in text for text in found)


async def test_an_event_that_is_not_what_the_log_says_is_found(watched: Watched) -> None:
    found = await watched(once(is_note, lambda block: [block.replace(b'"n":', b'"n":9')]))
    assert any("which the log does not say" in text for text in found)


async def test_progress_that_falls_within_a_run_is_found(watched: Watched) -> None:
    def fall(block: bytes) -> list[bytes]:
        told = b'"progress":%d,' % percent_of(block)
        return [block.replace(told, b'"progress":0,')]

    assert any("saw progress fall" in text for text in await watched(once(is_progress, fall)))


async def test_a_second_end_of_an_attempt_is_found(watched: Watched) -> None:
    found = await watched(lambda b: [b, b] if name_of(b) in TERMINAL else [b])
    assert any("ended 2 times" in text for text in found)
    assert any("in one response" in text for text in found)


async def test_a_204_before_the_end_is_found(watched: Watched) -> None:
    found = await watched(answers=204, cut_after=20, within_s=1)
    assert any("was told that it had seen the end, and had not" in text for text in found)


async def test_a_404_for_a_job_that_there_is_is_found(watched: Watched) -> None:
    found = await watched(answers=404, cut_after=20, within_s=1)
    assert any("was told that there is no such job" in text for text in found)


async def test_a_start_that_is_no_snapshot_is_found(watched: Watched) -> None:
    notes: list[bytes] = []

    def swallow(block: bytes) -> list[bytes]:
        """Let the job begin with a note: a report of progress is as good as a snapshot."""
        if is_note(block):
            notes.append(block)
        return [block] if notes or name_of(block) in {"", "connected"} else []

    assert any("which is no snapshot" in text for text in await watched(swallow))


async def test_a_wrong_greeting_is_found(watched: Watched) -> None:
    def is_greeting(block: bytes) -> bool:
        return name_of(block) == "connected"

    found = await watched(lambda b: [] if is_greeting(b) else [b])
    assert any("was greeted with" in text for text in found)
    found = await watched(lambda b: [b, b] if is_greeting(b) else [b])
    assert any("was greeted twice" in text for text in found)


@pytest.fixture
async def truth(seeing: Seeing) -> Truth:
    """Return what Redis has of a job in the end, in which nothing is wrong."""
    found, _ = await seeing()
    return found


def first(log: list[Entry], name: str) -> int:
    """Return the place of the first entry of that name."""
    return next(number for number, entry in enumerate(log) if entry.name == name)


def returning(log: list[Entry], *parts: list[Shown]) -> History:
    """Return a history of a viewer that came back after each part."""
    source = Source()
    cursor = ""
    for part in parts:
        visit = Visit(cursor, status=200, content_type="text/event-stream")
        visit.shown = [Shown(0, "connected", {}, cursor), *part]
        source.visits.append(visit)
        cursor = part[-1].id
    return History("viewer", str(log[0].id), [source], gone=True)


def shown(entry: Entry) -> Shown:
    return Shown(0, entry.name, msgspec.json.decode(entry.data), str(entry.id))


def test_a_return_to_something_else_than_a_snapshot_is_found(truth: Truth) -> None:
    log = list(truth.entries)
    end = first(log, "failed")
    attempt = [shown(entry) for entry in log[1 : end + 1]]
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    # Of the next attempt it is shown the state first, after it was told that it has to begin anew.
    amid = next(n for n in range(end + 5, len(log)) if log[n].name == "note")
    later = [shown(entry) for entry in log[amid + 1 :]]
    snapshot = Shown(0, PROGRESS, snapshot_of(log, amid), str(log[amid].id))
    other = reset(attempt[-1], 2, "attempt")
    told = returning(log, [created, *attempt], [other, snapshot, *later])
    assert violations(told, truth) == []
    found = violations(returning(log, [created, *attempt], [other, shown(log[amid])]), truth)
    assert any("which is no snapshot" in text for text in found)
    # If Redis lost data it may be shown an earlier state, and nothing else of what was.
    lost = replace(truth, lost=True)
    back = next(number for number in range(3, end) if log[number].name == "note")
    snapshot = Shown(0, PROGRESS, snapshot_of(log, back), str(log[back].id))
    gone = reset(attempt[-1], 1, "unknown")
    assert violations(returning(log, [created, *attempt], [gone, snapshot]), lost) == []
    found = violations(returning(log, [created, *attempt], [gone, shown(log[back])]), lost)
    assert any("which is no snapshot" in text for text in found)


def reset(last: Shown, attempt: int, reason: str) -> Shown:
    """Return a reset as a viewer sees it that has come to an event: with that one's id."""
    return Shown(0, "reset", {"attempt": attempt, "reason": reason}, last.id)


def test_a_snapshot_on_a_resumed_stream_without_a_reset_is_found(truth: Truth) -> None:
    log = list(truth.entries)
    end = first(log, "failed")
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    amid = next(n for n in range(end + 5, len(log)) if log[n].name == "note")
    snapshot = Shown(0, PROGRESS, snapshot_of(log, amid), str(log[amid].id))
    seen = [created, *map(shown, log[1 : end + 1])]
    for judged in (truth, replace(truth, first=str(log[amid].id))):
        found = violations(returning(log, seen, [snapshot]), judged)
        assert any("which the log does not say" in text for text in found)
        assert any("was never shown" in text for text in found)
    lost = replace(truth, lost=True)
    back = next(number for number in range(3, end) if log[number].name == "note")
    earlier = Shown(0, PROGRESS, snapshot_of(log, back), str(log[back].id))
    found = violations(returning(log, seen, [earlier]), lost)
    assert any("after failed" in text for text in found)


def test_a_snapshot_amid_of_a_stream_needs_a_reset_too(truth: Truth) -> None:
    log = list(truth.entries)
    end = first(log, "failed")
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    back, at = [n for n in range(3, end) if log[n].name == "note"][:2]
    snapshot = Shown(0, PROGRESS, snapshot_of(log, back), str(log[back].id))
    lost = replace(truth, lost=True)
    seen = [created, *(shown(entry) for entry in log[1 : at + 1] if entry.event is not None)]
    told = [*seen, reset(seen[-1], 1, "unknown"), snapshot]
    assert violations(returning(log, told), lost) == []
    assert violations(returning(log, [*seen, snapshot]), lost) != []


@pytest.mark.parametrize("reason", ["attempt", "trimmed", "unknown"])
def test_a_reset_without_a_cause_is_found(truth: Truth, reason: str) -> None:
    log = list(truth.entries)
    note = first(log, "note")
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    snapshot = Shown(0, PROGRESS, snapshot_of(log, note), str(log[note].id))
    before = [created, *map(shown, log[1:note])]
    found = violations(returning(log, before, [reset(before[-1], 1, reason), snapshot]), truth)
    assert len(found) == 1
    assert f"'reason': '{reason}'" in found[0]
    trimmed = replace(truth, first=str(log[note].id))
    found = violations(returning(log, before, [reset(before[-1], 1, reason), snapshot]), trimmed)
    assert len(found) == (reason != "trimmed")


def test_a_reset_of_somebody_who_has_seen_nothing_is_found(truth: Truth) -> None:
    log = list(truth.entries)
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    nothing = Shown(0, "reset", {"attempt": 1, "reason": "unknown"}, "")
    [found] = violations(returning(log, [nothing, created]), truth)
    assert "had seen nothing" in found


def test_a_reset_that_names_another_attempt_than_its_snapshot_is_found(truth: Truth) -> None:
    log = list(truth.entries)
    end = first(log, "failed")
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    seen = [created, *map(shown, log[1 : end + 1])]
    amid = next(n for n in range(end + 5, len(log)) if log[n].name == "note")
    snapshot = Shown(0, PROGRESS, snapshot_of(log, amid), str(log[amid].id))
    [found] = violations(returning(log, seen, [reset(seen[-1], 3, "attempt"), snapshot]), truth)
    assert "of another attempt" in found


def test_an_end_that_is_told_again_is_found_unless_redis_forgot_what_followed(truth: Truth) -> None:
    log = list(truth.entries)
    end = first(log, "failed")
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    attempt = [created, *map(shown, log[1 : end + 1])]
    next_one = [shown(entry) for entry in log[end + 1 : end + 4] if entry.event is not None]
    lost = replace(truth, lost=True)
    created_anew = Shown(0, PROGRESS, snapshot_of(log, end + 1), str(log[end + 1].id))
    forgotten = returning(
        log,
        attempt,
        [reset(attempt[-1], 2, "attempt"), created_anew, *next_one],
        [reset(next_one[-1], 1, "unknown"), attempt[-1]],
    )
    assert violations(forgotten, lost) == []
    assert any("ended 2 times" in text for text in violations(forgotten, truth))
    end_again = [reset(attempt[-1], 1, "unknown"), attempt[-1]]
    again = violations(returning(log, attempt, end_again), lost)
    assert any("ended 2 times" in text for text in again)


def test_another_end_than_that_of_the_log_is_found_unless_redis_lost_it(truth: Truth) -> None:
    log = list(truth.entries)
    created = Shown(0, PROGRESS, snapshot_of(log, 0), str(log[0].id))
    retried = first(log, "failed") + 1
    before = [created, *map(shown, log[1:retried])]
    last = [shown(entry) for entry in log[retried:] if entry.event is not None]
    history = returning(log, before, last)
    history.gone, history.sources[0].closed = False, True
    history.sources[0].visits.append(Visit(str(log[-1].id), status=204))
    assert violations(history, truth) == []
    end = replace(last[-1], id=f"{position(last[-1].id)[0] + 5}-0")
    history.sources[0].visits[1].shown[-1] = end
    assert any("as the end of the job" in text for text in violations(history, truth))
    assert violations(history, replace(truth, lost=True)) == []


async def test_who_is_shown_anything_of_somebody_elses_job_is_found(seeing: Seeing) -> None:
    truth, [history, _] = await seeing()
    visit = history.sources[0].visits[0]
    # Without an id of its own, and a snapshot that says nothing.
    for said, last in (({"text": FOREIGN}, visit.shown[3].id), ({"progress": 0}, "99-0")):
        shown = Shown(0, "note", said, last)
        lie = replace(visit, shown=[*visit.shown[:4], shown, *visit.shown[4:]])
        seen = replace(history, sources=[Source([lie], closed=True)])
        found = violations(seen, replace(truth, lost=True, foreign={"99-0"}))
        assert any("of somebody else's job" in text for text in found)


async def test_who_still_watches_a_job_whose_keys_were_deleted_is_found(seeing: Seeing) -> None:
    truth, [history, _] = await seeing()
    log = {str(entry.id): dict(entry.fields) for entry in truth.entries[:-1]}
    gone = truth_of_deleted(truth.job_id, truth.confirmed, log, {"99-0"})
    assert (gone.state, len(gone.entries)) == (None, len(truth.entries) - 1)
    assert truth_violations(gone) == []
    *visits, _ = history.sources[0].visits
    for visit in visits:
        visit.shown = [each for each in visit.shown if each.id in log or each.name == "connected"]
    told = replace(history, sources=[Source([*visits, Visit("", status=404)], closed=True)])
    assert violations(told, gone) == []
    waits = replace(history, sources=[Source(visits)])
    assert any("still waits in the end" in text for text in violations(waits, gone))


def snapshot_of(log: list[Entry], number: int) -> object:
    """Return the data of the state after an entry of a run."""
    state = fold(log[: number + 1])
    assert state is not None
    return msgspec.json.decode(state.snapshot()[1])


def after(log: list[Entry], number: int, repeated: int) -> list[Entry]:
    """Return a log in which an entry follows another one once more."""
    milliseconds, sequence = position(str(log[number].id))
    more = msgspec.structs.replace(log[repeated], id=f"{milliseconds}-{sequence + 1}")
    return [*log[: number + 1], more, *log[number + 1 :]]


def test_a_state_that_is_not_what_the_log_amounts_to_is_found(truth: Truth) -> None:
    assert truth.state is not None
    for change in ({"progress": 99}, {"last": str(truth.entries[-2].id)}, {"error": "x"}):
        state = msgspec.structs.replace(truth.state, **change)
        [found] = truth_violations(replace(truth, state=state))
        assert "the log amounts to" in found


def test_a_job_that_has_not_ended_is_found(truth: Truth) -> None:
    log = truth.entries[:-1]
    found = truth_violations(replace(truth, entries=log, state=fold(log), confirmed=()))
    assert [text.partition(": ")[2] for text in found] == ["has not ended: running"]


def test_a_lost_job_is_found(truth: Truth) -> None:
    assert "is lost" in truth_violations(replace(truth, state=None))[0]
    assert truth_violations(replace(truth, state=None, lost=True)) == []


def test_a_lost_entry_is_found(truth: Truth) -> None:
    note = first(list(truth.entries), "note")
    log = [*truth.entries[:note], *truth.entries[note + 1 :]]
    [found] = truth_violations(replace(truth, entries=log))
    assert "was confirmed and is not in the log" in found
    assert truth_violations(replace(truth, entries=log, lost=True)) == []


@pytest.mark.parametrize(
    ("name", "what"), [("note", "is 2 times in the log"), ("failed", "has 2 ends")]
)
def test_what_was_written_twice_is_found(truth: Truth, name: str, what: str) -> None:
    log = list(truth.entries)
    found = truth_violations(replace(truth, entries=after(log, first(log, name), first(log, name))))
    assert any(what in text for text in found)


def test_progress_that_falls_in_the_log_is_found(truth: Truth) -> None:
    log = list(truth.entries)
    high = next(n for n, entry in enumerate(log) if b'"progress":2,' in entry.data)
    found = truth_violations(replace(truth, entries=after(log, high, first(log, PROGRESS))))
    assert any("progress falls from 2" in text for text in found)


@pytest.mark.parametrize("name", ["note", STEP, PROGRESS])
def test_an_event_that_is_written_late_or_again_is_found(truth: Truth, name: str) -> None:
    log = list(truth.entries)
    one = next(n for n, each in enumerate(log) if each.name == name and b'"n":' in each.data)
    found = truth_violations(replace(truth, entries=after(log, len(log) - 2, one)))
    assert any("comes after" in text for text in found)


def test_an_event_that_waited_and_was_never_written_is_found(truth: Truth) -> None:
    note = first(list(truth.entries), "note")
    number = msgspec.json.decode(truth.entries[note].data)["n"]
    assert truth_violations(replace(truth, owed=[number])) == []
    [found] = truth_violations(replace(truth, owed=[number, 10_000]))
    assert "event 10000 had to wait" in found
    assert truth_violations(replace(truth, owed=[10_000], lost=True)) == []
