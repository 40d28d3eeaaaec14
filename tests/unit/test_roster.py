"""Who joins a stream of many jobs, and who leaves it, in virtual time and without any Redis."""

import asyncio
import gc
from collections.abc import Sequence
from typing import Any, cast

from actors.mailbox import Ending, Mailbox
from actors.messages import Deregister, Register
from actors.seat import Labeller, Seat
from app.errors import JobNotFound
from app.settings import Settings
from app.streaming.limits import Limits
from app.streaming.roster import Dependencies, Roster
from app.streaming.selection import MOST_JOBS
from eventlog.announcements import Announcements
from eventlog.channel import Published, Subscribed, Subscriber
from eventlog.errors import LogUnavailable, UnreadableJob
from schema.owner import Owner
from schema.sse import Frame, encode
from schema.state import JobState
from tests.support.clock import in_virtual_time
from tests.support.sse import Event, Parser

OWNER = Owner(None, "s1")


def state(number: int, *, status: str = "running", attempt: int = 1, last: int = 0) -> JobState:
    return JobState(
        status=cast("Any", status),
        attempt=attempt,
        attempt_id=f"{number}-0",
        created=f"{number}-0",
        last=f"{last or number}-1",
        type="report",
        session_id="s1",
    )


class World:
    """What the jobs are, and who sits in whose audience."""

    def __init__(self) -> None:
        self.states: dict[str, JobState | Exception] = {}
        self.active: dict[str, str] = {}
        self.seats: dict[str, Seat] = {}
        self.channels: dict[str, Subscriber] = {}
        self.reads = 0
        self.dependencies = Dependencies(
            cast("Any", self),
            cast("Any", self),
            Limits(Settings(jwt_secret="s" * 32)),
            cast("Any", self),
            Announcements(self),
            Labeller(),
        )

    async def owned(self, owner: Owner, job_id: str) -> tuple[str, JobState]:
        assert owner == OWNER
        self.reads += 1
        await asyncio.sleep(0)
        found = self.states.get(job_id, JobNotFound())
        if isinstance(found, Exception):
            raise found
        return job_id, found

    async def newest(self, owner: Owner) -> dict[str, str]:
        assert owner == OWNER
        return dict(self.active)

    def follow_channel(self, channel: str, subscriber: Subscriber) -> None:
        self.channels[channel] = subscriber

    def unfollow_channel(self, channel: str, subscriber: Subscriber) -> None:
        assert self.channels.pop(channel) == subscriber

    def inbox_of(self, job_id: str, known: JobState) -> "Sitting":
        assert known == self.states[job_id]
        return Sitting(self, job_id)

    def announce(self, *job_ids: str) -> None:
        [channel] = self.channels.values()
        channel.hand(Published([job_id.encode() for job_id in job_ids]))

    def subscribed(self) -> None:
        [channel] = self.channels.values()
        channel.hand(Subscribed())


class Sitting:
    """The inbox of a job's actor, as the directory gives one."""

    def __init__(self, world: World, job_id: str) -> None:
        self._world, self._job_id = world, job_id

    def hand(self, register: Register) -> None:
        seat = cast("Seat", register.mailbox)
        self._world.seats[self._job_id] = seat
        name = "progress-update" if register.cursor is None else "reset"
        seat.put(encode(name, b'{"progress":0}', "1-0"))

    def tell(self, deregister: Deregister) -> None:
        assert isinstance(deregister, Deregister)
        self._world.seats.pop(self._job_id, None)


class Watcher:
    """A viewer of many jobs."""

    def __init__(
        self, world: World, job_ids: Sequence[str], *, mine: bool = False, slow: bool = False
    ) -> None:
        self.slow = slow
        self._parser = Parser()
        self._events: list[Event] = []
        self.mailbox = Mailbox(100_000, self._offer, lambda: None)
        self.roster = Roster(
            world.dependencies, OWNER, job_ids, self.mailbox, is_open=mine, return_ms=600_000
        )

    def _offer(self, frame: Frame) -> bool:
        if not self.slow:
            self._events += self._parser.feed(frame.data)
        return not self.slow

    @property
    def endings(self) -> list[Ending]:
        """Return why the stream ends; nothing if it does not."""
        return [] if self.mailbox.ending is None else [self.mailbox.ending]

    async def seen(self) -> list[tuple[str, str]]:
        """Wait until all is quiet; return the names and the jobs of the events since."""
        await asyncio.sleep(0.01)
        events, self._events = self._events, []
        return [(event.data.get("reason") or event.name, event.data["jobId"]) for event in events]


def test_a_list_joins_and_ends_when_all_have_left() -> None:
    async def scenario() -> None:
        world = World()
        world.states = {
            "a": state(1),
            "b": state(2, status="failed"),
            "c": UnreadableJob("corrupt"),
        }
        watcher = Watcher(world, ["a", "b", "c", "d"])
        with watcher.roster:
            assert await watcher.seen() == [
                ("progress-update", "a"),
                ("failed", "b"),
                ("ended", "b"),
                ("unreadable", "c"),
                ("not-found", "d"),
            ]
            assert watcher.endings == []
            world.seats["a"].end(Ending.FINISHED)
            assert await watcher.seen() == [("ended", "a")]
            assert watcher.endings == [Ending.FINISHED]
            assert watcher._parser.retries == [600_000]
        assert world.seats == {}

    in_virtual_time(scenario())


def test_what_is_away_is_asked_for_until_it_is_back() -> None:
    async def scenario() -> None:
        world = World()
        world.states["a"] = LogUnavailable("away")
        watcher = Watcher(world, ["a"])
        with watcher.roster:
            await asyncio.sleep(30)
            assert world.reads < 30
            world.states["a"] = state(1)
            await asyncio.sleep(3)
            assert await watcher.seen() == [("progress-update", "a")]

    in_virtual_time(scenario())


def test_a_job_whose_actor_fails_comes_again_and_not_in_a_hurry() -> None:
    async def scenario() -> None:
        world = World()
        world.states["a"] = state(1)
        watcher = Watcher(world, ["a"])
        with watcher.roster:
            await watcher.seen()
            world.seats["a"].end(Ending.RETRY)
            assert await watcher.seen() == [("reset", "a")]
            world.seats["a"].end(Ending.RETRY)
            assert await watcher.seen() == []
            assert watcher.endings == []
            await asyncio.sleep(5)
            assert await watcher.seen() == [("reset", "a")]
            world.states["a"] = state(9)
            world.seats["a"].end(Ending.RETRY)
            await asyncio.sleep(5)
            assert await watcher.seen() == [("gone", "a")]

    in_virtual_time(scenario())


def test_a_slow_viewer_is_sent_one_state_after_the_other() -> None:
    async def scenario() -> None:
        world = World()
        world.states = {str(number): state(number + 1) for number in range(50)}
        watcher = Watcher(world, list(world.states), slow=True)
        with watcher.roster:
            for taken in range(1, 51):
                await asyncio.sleep(1)
                assert len(watcher.mailbox) == 1
                assert len(world.seats) == taken
                assert world.reads <= taken + 16
                watcher.mailbox.take(1000)

    in_virtual_time(scenario())


def test_announced_jobs_join_and_the_oldest_makes_room() -> None:
    async def scenario() -> None:
        world = World()
        world.states = {str(number): state(number + 10) for number in range(MOST_JOBS)}
        watcher = Watcher(world, list(world.states), mine=True)
        with watcher.roster:
            await watcher.seen()
            world.states |= {
                "new": state(1000),
                "old": state(1),
                "ended": state(1001, status="failed"),
            }
            world.announce("foreign", "new", "old", "no id", "ended")
            assert await watcher.seen() == [
                ("displaced", "0"),
                ("progress-update", "new"),
                ("failed", "ended"),
                ("ended", "ended"),
            ]
            assert len(world.seats) == MOST_JOBS
            world.announce("ended", "new")
            assert await watcher.seen() == []
        assert (world.seats, world.channels) == ({}, {})

    in_virtual_time(scenario())


def test_a_retry_joins_after_the_end_even_if_it_is_announced_before_that() -> None:
    async def scenario() -> None:
        world = World()
        world.states["a"] = state(1)
        watcher = Watcher(world, ["a"], mine=True)
        with watcher.roster:
            await watcher.seen()
            world.announce("a")
            world.states["a"] = state(1, attempt=2)
            world.seats["a"].end(Ending.FINISHED)
            assert await watcher.seen() == [("ended", "a"), ("reset", "a")]
            world.states["a"] = state(1, status="failed", attempt=2, last=7)
            world.seats["a"].end(Ending.FINISHED)
            world.announce("a")
            assert await watcher.seen() == [
                ("ended", "a"),
                ("attempt", "a"),
                ("failed", "a"),
                ("ended", "a"),
            ]
            assert watcher.endings == []

    in_virtual_time(scenario())


def test_what_was_missed_is_searched_for_once_announcements_come() -> None:
    async def scenario() -> None:
        world = World()
        watcher, late = Watcher(world, [], mine=True), Watcher(world, [], mine=True)
        with watcher.roster:
            world.states["a"] = state(1)
            world.active["a"] = "1-1"
            assert await watcher.seen() == []
            world.subscribed()
            assert await watcher.seen() == [("progress-update", "a")]
            with late.roster:
                assert await late.seen() == [("progress-update", "a")]

    in_virtual_time(scenario())


def test_a_flood_of_announcements_is_answered_by_one_search() -> None:
    async def scenario() -> None:
        world = World()
        watcher = Watcher(world, [], mine=True)
        with watcher.roster:
            world.states["a"] = state(1)
            world.active["a"] = "1-1"
            world.announce(*(f"j{number}" for number in range(5000)))
            assert await watcher.seen() == [("progress-update", "a")]
            assert world.reads == 1

    in_virtual_time(scenario())


def test_who_leaves_leaves_no_cycle() -> None:
    async def scenario() -> None:
        world = World()
        world.states = {str(number): state(number + 1) for number in range(50)}
        gc.collect()
        gc.disable()
        try:
            for wait_s in (1, 0):
                watcher = Watcher(world, list(world.states), mine=True)
                with watcher.roster:
                    world.subscribed()
                    await asyncio.sleep(wait_s)
                await asyncio.sleep(0.1)
                vars(watcher).clear()  # it is in its mailbox, which the viewer's outlet lets go
                del watcher
                assert [each for each in gc.get_objects() if type(each) in {Roster, Seat}] == []
        finally:
            gc.enable()

    in_virtual_time(scenario())


def test_an_event_is_labelled_once_for_all_seats_of_its_job() -> None:
    labeller = Labeller()
    frame = encode("note", b"{}", "1-0")
    got: list[Frame] = []

    def offer(each: Frame) -> bool:
        got.append(each)
        return True

    known = state(1)
    host = cast("Any", None)
    seats = [Seat("a", known, labeller, Mailbox(1000, offer, lambda: None), host) for _ in range(3)]
    for seat in seats:
        seat.put(frame)
    assert got[0] is got[1] is got[2]
    assert got[0].data == b'event: note\ndata: {"jobId":"a"}\n\n'
