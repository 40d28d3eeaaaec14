import asyncio

import pytest

from actors.mailbox import Ending
from tests.support.clock import in_virtual_time
from tests.support.sse import Parser
from tests.support.viewing import Visit
from tests.support.waiting import after, until


async def visiting(visit: Visit) -> Visit:
    visit.begin()
    await until(lambda: visit.watching)
    return visit


def ids(visit: Visit) -> list[str]:
    return [event.id for event in Parser().feed(visit.body)]


def test_it_gets_events_until_the_job_ends_and_is_not_told_to_come_again() -> None:
    async def scenario() -> None:
        visit = await visiting(Visit())
        visit.happens(1)
        visit.happens(2)
        visit.finish()
        await visit.ended()
        assert ids(visit) == ["1-0", "2-0"]
        assert (visit.over, visit.retries, visit.watching) == (True, [], False)

    in_virtual_time(scenario())


def test_it_is_told_to_come_again_when_its_time_is_over() -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        began = now()
        visit = await visiting(Visit(lifetime_s=30))
        await after(29)
        visit.happens(1)
        assert await visit.ended() - began == pytest.approx(30, abs=0.1)
        assert ids(visit) == ["1-0"]
        assert (visit.over, len(visit.retries), visit.watching) == (True, 1, False)
        assert 1000 <= visit.retries[0] <= 5000
        assert visit.body.endswith(b"\n\n")

    in_virtual_time(scenario())


def test_a_lifetime_of_nothing_ends_it_at_once() -> None:
    async def scenario() -> None:
        visit = Visit(lifetime_s=0)
        visit.begin()
        await visit.ended()
        assert (visit.over, len(visit.retries)) == (True, 1)

    in_virtual_time(scenario())


def test_nothing_is_sent_to_one_who_left() -> None:
    async def scenario() -> None:
        visit = await visiting(Visit())
        visit.leave()
        await visit.ended()
        assert (visit.sent, visit.watching) == ([], False)

    in_virtual_time(scenario())


def test_one_who_is_sent_back_gets_what_waits_first() -> None:
    async def scenario() -> None:
        visit = await visiting(Visit())
        visit.happens(1)
        visit.viewer.send_back()
        await visit.ended()
        assert ids(visit) == ["1-0"]
        assert (visit.over, len(visit.retries)) == (True, 1)

    in_virtual_time(scenario())


def test_one_who_is_sent_back_before_it_began_never_waits() -> None:
    async def scenario() -> None:
        visit = Visit()
        visit.viewer.send_back()
        now = asyncio.get_running_loop().time
        began = now()
        visit.begin()
        assert await visit.ended() - began < 1
        assert (visit.over, len(visit.retries)) == (True, 1)

    in_virtual_time(scenario())


def test_one_who_reads_too_slowly_gets_what_its_mailbox_held_and_comes_again() -> None:
    async def scenario() -> None:
        visit = await visiting(Visit(mailbox_bytes=1000))
        visit.open.clear()
        visit.happens(0, size=100)
        await until(lambda: len(visit.mailbox) == 0)
        for number in range(1, 20):
            visit.happens(number, size=100)
        assert visit.mailbox.ending is Ending.RETRY
        visit.open.set()
        await visit.ended()
        assert ids(visit) == [f"{number}-0" for number in range(len(ids(visit)))]
        assert 5 < len(ids(visit)) < 20
        assert (visit.over, len(visit.retries)) == (True, 1)

    in_virtual_time(scenario())


def test_one_who_does_not_read_at_all_is_given_up_after_a_while() -> None:
    async def scenario() -> None:
        now = asyncio.get_running_loop().time
        visit = await visiting(Visit())
        visit.open.clear()
        visit.happens(1)
        visit.finish()
        began = now()
        assert 1 < await visit.ended() - began < 10
        assert (visit.over, visit.sent) == (False, [])

    in_virtual_time(scenario())


def test_it_stops_watching_before_it_says_farewell() -> None:
    async def scenario() -> None:
        visit = await visiting(Visit())
        visit.open.clear()
        visit.happens(1)
        visit.finish()
        await until(lambda: not visit.watching)
        assert not visit.over
        visit.open.set()
        await visit.ended()
        assert visit.over

    in_virtual_time(scenario())


@pytest.mark.parametrize("ending", Ending)
def test_an_end_that_comes_as_it_begins_is_not_missed(ending: Ending) -> None:
    async def scenario() -> None:
        visit = Visit()
        visit.begin()
        await until(lambda: visit.watching)
        visit.mailbox.end(ending)
        await visit.ended()
        assert (visit.over, len(visit.retries)) == (True, ending is Ending.RETRY)

    in_virtual_time(scenario())


@pytest.mark.parametrize("ends", [True, False])
def test_who_is_cancelled_by_others_says_no_farewell(*, ends: bool) -> None:
    async def scenario() -> None:
        visit = await visiting(Visit())
        task = visit._task
        assert task is not None
        if ends:
            visit.finish()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (visit.sent, visit.over, visit.watching) == ([], False, False)

    in_virtual_time(scenario())
