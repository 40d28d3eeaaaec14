import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ProcessFull, TooManyStreams
from app.settings import Settings
from app.streaming.limits import Limits
from app.streaming.viewer import PING_EVENT, Viewer
from app.streaming.viewers import Viewers
from schema.owner import Owner
from schema.sse import KEEPALIVE, encode
from tests.support.clock import in_virtual_time
from tests.support.sse import Parser
from tests.support.viewing import Visit
from tests.support.waiting import after, until

SETTINGS = Settings(streams_per_owner=2, streams_per_job=3, streams_per_process=5)
ANN, BOB = Owner("ann", None), Owner("bob", None)


def test_an_owner_has_so_many_streams() -> None:
    limits = Limits(SETTINGS)
    for job in ("j1", "j2"):
        limits.reserve(job, ANN)
    with pytest.raises(TooManyStreams):
        limits.reserve("j3", ANN)
    limits.reserve("j3", BOB)


def test_a_user_and_a_session_are_counted_each() -> None:
    limits = Limits(SETTINGS)
    for user in ("ann", "bob"):
        limits.reserve("j1", Owner(user, "s1"))
    for other in (Owner("eve", "s1"), Owner(None, "s1")):
        with pytest.raises(TooManyStreams):
            limits.reserve("j2", other)
    for same_name in (Owner("ann", None), Owner("s1", None)):
        limits.reserve("j2", same_name)


def test_a_job_has_so_many_streams() -> None:
    limits = Limits(SETTINGS)
    for user in ("u1", "u2", "u3"):
        limits.reserve("j1", Owner(user))
    with pytest.raises(TooManyStreams):
        limits.reserve("j1", Owner("u4"))
    limits.reserve("j2", Owner("u4"))


def test_a_process_has_so_many_streams() -> None:
    limits = Limits(SETTINGS)
    for number in range(5):
        limits.reserve(f"j{number}", Owner(f"u{number}"))
    with pytest.raises(ProcessFull):
        limits.reserve("j9", Owner("u9"))


def test_who_was_refused_takes_no_place_and_who_left_has_none() -> None:
    limits = Limits(SETTINGS)
    places = [limits.reserve("j1", ANN), limits.reserve("j1", ANN)]
    for _ in range(20):
        with pytest.raises(TooManyStreams):
            limits.reserve("j1", ANN)
        limits.reserve("j1", BOB).free()
    for place in places:
        place.free()
    assert not limits._of_owner
    assert not limits._of_job


@asynccontextmanager
async def alive(viewers: Viewers) -> AsyncIterator[None]:
    """Run the clock of the keepalives for the length of the block."""
    clock = asyncio.create_task(viewers.keep_alive())
    try:
        yield
    finally:
        clock.cancel()
        await asyncio.wait({clock})


def keepalives(visit: Visit) -> list[float]:
    return [at for at, data in visit.sent if data == KEEPALIVE]


@given(st.floats(0, 1), st.floats(0, 3), st.lists(st.floats(0.001, 40), max_size=6))
def test_a_keepalive_comes_15_to_16_seconds_after_the_last_byte(
    begins: float, comes: float, pauses: list[float]
) -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings())
        now = asyncio.get_running_loop().time
        async with alive(viewers):
            await after(comes)
            visit = Visit()
            came = now()
            visit.begin(viewers)
            await until(lambda: visit.watching)
            for number, pause in enumerate(pauses):
                await after(pause)
                visit.happens(number)
            await after(50)
            visit.leave()
            await visit.ended()
        times = [came, *(at for at, _ in visit.sent)]
        for (_, data), before, at in zip(visit.sent, times, times[1:], strict=False):
            silence = at - before
            assert silence < 16.1
            if data == KEEPALIVE:
                assert silence > 14.9
        assert now() - times[-1] < 16.1

    in_virtual_time(scenario(), 1000 + begins)


def test_who_asked_for_pings_gets_them_in_place_of_comments_and_nobody_else_does() -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings(keepalive_s=10))
        pinged, other = Visit(keepalive=PING_EVENT), Visit()
        async with alive(viewers):
            for visit in (pinged, other):
                visit.begin(viewers)
            await until(lambda: pinged.watching and other.watching)
            pinged.happens(7)
            await after(35)
            for visit in (pinged, other):
                visit.leave()
                await visit.ended()
        assert keepalives(other) == [1011, 1022, 1033]
        assert keepalives(pinged) == []
        parser = Parser()
        note, *pings = parser.feed(pinged.body)
        assert (note.name, parser.comments) == ("note", [])
        assert [(ping.name, ping.data) for ping in pings] == [("ping", {})] * 3
        assert {ping.id for ping in pings} == {parser.last_event_id} == {"7-0"}

    in_virtual_time(scenario(), 1000.25)


def test_a_viewer_that_does_not_read_is_sent_no_ping_and_its_progress_is_kept() -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings(keepalive_s=10))
        visit = Visit(keepalive=PING_EVENT)
        async with alive(viewers):
            visit.begin(viewers)
            await until(lambda: visit.watching)
            visit.open.clear()
            visit.happens(1)
            await until(lambda: len(visit.mailbox) == 0)
            visit.mailbox.put(encode("progress-update", b'{"progress":1}', "2-0"))
            await after(35)
            assert len(visit.mailbox) == 1
            visit.open.set()
            await until(lambda: len(visit.sent) == 2)
            visit.leave()
            await visit.ended()
        assert [event.id for event in Parser().feed(visit.body)] == ["1-0", "2-0"]

    in_virtual_time(scenario(), 1000.25)


def test_a_viewer_is_looked_at_once_or_twice_in_each_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[Viewer] = []
    keep_alive = Viewer.keep_alive

    def look(viewer: Viewer, silent_since: float) -> None:
        looks.append(viewer)
        keep_alive(viewer, silent_since)

    monkeypatch.setattr(Viewer, "keep_alive", look)

    async def scenario() -> None:
        viewers = Viewers(Settings(keepalive_s=10))
        visits = [Visit() for _ in range(50)]
        async with alive(viewers):
            for visit in visits:
                visit.begin(viewers)
            await after(105)
            assert all(len(keepalives(visit)) in {9, 10} for visit in visits)
            assert sum(map(len, viewers._slots.values())) == len(visits)
            assert len(looks) <= 2 * 10 * len(visits)
            for visit in visits:
                visit.leave()
                await visit.ended()
            assert len(viewers) == 0
            await after(12)
            assert not viewers._slots

    in_virtual_time(scenario(), 1000.25)


def test_a_viewer_whose_keepalive_fails_costs_no_other_one_and_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep_alive, failed = Viewer.keep_alive, list[Viewer]()

    def fail_for_one(viewer: Viewer, silent_since: float) -> None:
        if viewer in failed or not failed:
            failed.append(viewer)
            raise RuntimeError("something new")
        keep_alive(viewer, silent_since)

    monkeypatch.setattr(Viewer, "keep_alive", fail_for_one)

    async def scenario() -> None:
        viewers = Viewers(Settings(keepalive_s=10))
        visits = [Visit() for _ in range(3)]
        async with alive(viewers):
            for visit in visits:
                visit.begin(viewers)
            await after(35)
            assert sorted(len(keepalives(visit)) for visit in visits) == [0, 3, 3]
            assert len(failed) > 1
            for visit in visits:
                visit.leave()
                await visit.ended()

    in_virtual_time(scenario(), 1000.25)
    assert caplog.text.count("Traceback") == 1


def test_a_viewer_that_does_not_read_gets_no_keepalives_on_top() -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings(keepalive_s=5))
        visit = Visit()
        async with alive(viewers):
            visit.begin(viewers)
            await until(lambda: visit.watching)
            visit.open.clear()
            visit.happens(1)
            await until(lambda: len(visit.mailbox) == 0)
            visit.happens(2)
            await after(60)
            assert len(visit.mailbox) == 1
            visit.open.set()
            await after(7)
            visit.leave()
            await visit.ended()
        assert len(keepalives(visit)) == 1

    in_virtual_time(scenario())


def test_open_streams_are_counted() -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings())
        visits = [Visit(), Visit()]
        for visit in visits:
            visit.begin(viewers)
        await until(lambda: all(visit.watching for visit in visits))
        assert (len(viewers), viewers.total) == (2, 2)
        visits[0].leave()
        await visits[0].ended()
        assert (len(viewers), viewers.total) == (1, 2)
        visits[1].leave()
        await visits[1].ended()

    in_virtual_time(scenario())


def drain(scenario: Callable[[Viewers, list[Visit]], Coroutine[Any, Any, None]]) -> None:
    """Play a scenario with 250 open streams."""

    async def play() -> None:
        viewers = Viewers(msgspec.structs.replace(Settings(), keepalive_s=5))
        visits = [Visit() for _ in range(250)]
        for visit in visits:
            visit.begin(viewers)
        await until(lambda: all(visit.watching for visit in visits))
        await scenario(viewers, visits)

    in_virtual_time(play())


def test_a_drain_sends_everybody_back_at_a_time_of_their_own_and_waits_until_they_are_gone() -> (
    None
):
    async def scenario(viewers: Viewers, visits: list[Visit]) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        await viewers.drain(10)
        assert now() - began < 1
        assert len(viewers) == 0
        assert all(visit.over for visit in visits)
        times = [time for visit in visits for time in visit.retries]
        assert len(times) == len(visits)
        assert 1000 <= min(times) < 1500
        assert 4500 < max(times) <= 5000

    drain(scenario)


def test_a_drain_spreads_the_reconnects_as_thinly_as_the_settings_ask_for() -> None:
    async def scenario(viewers: Viewers, visits: list[Visit]) -> None:
        viewers._settings = msgspec.structs.replace(viewers._settings, reconnects_per_s=10)
        await viewers.drain(10)
        times = sorted(time for visit in visits for time in visit.retries)
        assert len(times) == len(visits)
        assert min(times) >= 1000
        for first, eleventh in zip(times, times[11:], strict=False):
            assert eleventh - first > 1000 - 100
        assert [visit.retries[0] for visit in visits] != times

    drain(scenario)


def test_a_drain_gives_up_on_those_who_do_not_go() -> None:
    async def scenario(viewers: Viewers, visits: list[Visit]) -> None:
        visits[0].open.clear()
        now = asyncio.get_running_loop().time
        began = now()
        await viewers.drain(2)
        assert now() - began == pytest.approx(2, abs=0.1)
        assert len(viewers) == 1
        await visits[0].ended()

    drain(scenario)


def test_a_drain_of_nobody_is_over_at_once() -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings())
        now = asyncio.get_running_loop().time
        began = now()
        await viewers.drain(10)
        assert now() == began
        assert viewers.draining

    in_virtual_time(scenario())


def test_who_was_let_in_before_a_drain_and_comes_after_it_began_is_sent_back() -> None:
    async def scenario() -> None:
        viewers = Viewers(Settings())
        await viewers.drain(0)
        visit = Visit()
        visit.begin(viewers)
        async with asyncio.timeout(1):
            await visit.ended()
        assert (len(visit.retries), visit.over) == (1, True)

    in_virtual_time(scenario())
