import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import ExitStack
from itertools import pairwise

import pytest

from actors.directory import Directory
from actors.job_actor import LINGER_S
from actors.mailbox import Ending
from actors.messages import Expire
from actors.runtime import LoopInbox
from eventlog.catch_up import PAGE, CatchUp, IsWanted, OnAnswer
from eventlog.channel import Subscribed, Subscriber
from schema.events import Terminal
from schema.state import JobState
from tests.support.clock import in_virtual_time
from tests.support.job_world import JOB, Feed, JobLog, Watcher, handled, stopped
from tests.support.waiting import after, eventually


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def log() -> JobLog:
    return JobLog()


@pytest.fixture
async def directory(feed: Feed, log: JobLog) -> AsyncIterator[Directory]:
    made = Directory(feed, log)
    yield made
    if feed.inbox is not None:
        await stopped(feed.inbox)
    assert len(made) == 0


async def follower(feed: Feed) -> LoopInbox:
    """Return the actor that follows the job, once there is one."""

    async def is_followed() -> bool:
        return feed.inbox is not None

    await eventually(is_followed)
    assert feed.inbox is not None
    return feed.inbox


async def known(feed: Feed, log: JobLog) -> LoopInbox:
    """Return the actor that follows the job, once it knows it."""
    inbox = await follower(feed)
    inbox.tell(Subscribed())
    await handled(inbox)
    question = log.questions.pop()
    question.given(log.read(question.cursor))
    await handled(inbox)
    return inbox


async def test_viewers_of_a_job_share_its_actor(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    first, second = Watcher(), Watcher()
    with directory.viewing(JOB, log.state, first.mailbox, None):
        actor = await known(feed, log)
        with directory.viewing(JOB, log.state, second.mailbox, None):
            await handled(actor)
            assert second.names == first.names == ["progress-update"]
            assert feed.inbox is actor
            assert len(directory) == 1


async def test_a_viewer_has_gone_when_its_context_ends_however_it_does(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    async def fail() -> None:
        with directory.viewing(JOB, log.state, Watcher().mailbox, None):
            await known(feed, log)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert feed.inbox is not None
    await handled(feed.inbox)
    [(_, _, (message,))] = directory._reminders._waiting[LINGER_S]
    assert message == Expire()


async def test_a_job_that_nobody_watches_is_forgotten(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    with directory.viewing(JOB, log.state, Watcher().mailbox, None):
        actor = await known(feed, log)
    await handled(actor)
    actor.tell(Expire())
    await handled(actor)
    assert len(directory) == 0


async def test_the_end_of_an_actor_leaves_its_successor_alone(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    first, second = Watcher(), Watcher()
    log.start()
    with directory.viewing(JOB, log.state, first.mailbox, None):
        older = await known(feed, log)
        directory.forget(JOB, directory._actors[JOB])
        with directory.viewing(JOB, log.state, second.mailbox, None):
            await stopped(older)
            assert len(directory) == 1
            newer = await known(feed, log)
            assert newer is not older
            assert first.ending is Ending.RETRY
            assert second.names == ["progress-update"]


async def test_a_context_ends_in_peace_when_the_actor_has_ended_before(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    watcher = Watcher()
    with directory.viewing(JOB, log.state, watcher.mailbox, None):
        actor = await follower(feed)
        await stopped(actor)
        assert watcher.ending is Ending.RETRY


async def test_who_comes_for_another_job_of_the_same_id_gets_an_actor_of_its_own(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    former, owner = Watcher(), Watcher()
    with directory.viewing(JOB, log.state, former.mailbox, None):
        older = await known(feed, log)
        log.create("s2")
        log.start()
        with directory.viewing(JOB, log.state, owner.mailbox, None):
            assert former.ending is Ending.RETRY
            newer = await known(feed, log)
            assert newer is not older
            assert not older.is_open()
            assert (former.ids, owner.ids) == (["1-0"], ["2-0"])
            assert len(directory) == 1


async def test_an_actor_with_messages_waiting_is_replaced_at_once(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    former, owner = Watcher(), Watcher()
    with directory.viewing(JOB, log.state, former.mailbox, None):
        older = await known(feed, log)
        older.tell(Expire())
        log.create("s2")
        with directory.viewing(JOB, log.state, owner.mailbox, None):
            assert feed.inbox is not older
            newer = await known(feed, log)
            assert former.ending is Ending.RETRY
            assert owner.ids == ["1-0"]
            assert feed.inbox is newer


async def test_who_was_admitted_to_a_job_that_another_one_has_replaced_is_sent_back(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    former = Watcher()
    admitted = log.state
    log.create("s2")
    with directory.viewing(JOB, admitted, former.mailbox, None):
        await known(feed, log)
        assert (former.events, former.ending) == ([], Ending.RETRY)
    with directory.viewing(JOB, log.state, (owner := Watcher()).mailbox, None):
        await known(feed, log)
        assert owner.ids == ["1-0"]


class Redis:
    """Follows and answers for many jobs at once; notes when each was asked about."""

    def __init__(self, state: JobState) -> None:
        self.state: JobState | None = state
        self.asked: dict[str, list[float]] = {}
        self.at_once = Counter[float]()

    def follow(self, job_id: str, subscriber: Subscriber) -> None:  # noqa: ARG002 - the actor's
        asyncio.get_running_loop().call_soon(subscriber.hand, Subscribed())

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Do nothing: nothing is published."""

    def catch_up(
        self,
        job_id: str,
        cursor: str | None,
        given: OnAnswer,
        is_wanted: IsWanted,
        most: int = PAGE,
    ) -> None:
        raise AssertionError(f"it is known: {job_id, cursor, given, is_wanted, most}")

    def catch_up_if_changed(
        self, job_id: str, known: JobState, given: OnAnswer, is_wanted: IsWanted
    ) -> None:
        assert is_wanted()
        now = asyncio.get_running_loop().time()
        self.asked.setdefault(job_id, []).append(now)
        self.at_once[now] += 1
        given(CatchUp(self.state and known, ()))

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        raise AssertionError(f"nothing is published: {job_id}, {event}, {known}, {attempt}")


@pytest.mark.parametrize("count", [1, 2, 63, 3000])
def test_every_silent_job_is_asked_about_in_time_and_few_of_them_at_once(count: int) -> None:
    within_s = 15.0

    async def scenario() -> None:
        redis = Redis(JobLog().state)
        directory = Directory(redis, redis)
        watching = asyncio.create_task(directory.verify_jobs(within_s))
        watchers = [Watcher() for _ in range(count)]
        with ExitStack() as viewing:
            for number, watcher in enumerate(watchers):
                context = directory.viewing(f"j{number}", JobLog().state, watcher.mailbox, None)
                viewing.enter_context(context)
            await after(1)
            redis.at_once.clear()
            await after(4 * within_s)
            assert set(redis.asked) == {f"j{number}" for number in range(count)}
            for times in redis.asked.values():
                assert max(later - before for before, later in pairwise(times)) < 0.9 * within_s
                assert len(times) <= 6
            # In one tick of the clock, which is 64 and more to a round.
            assert max(redis.at_once.values()) <= count / 32 + 1
            gone_at = asyncio.get_running_loop().time()
            redis.state = None
            while not all(watcher.ending is Ending.RETRY for watcher in watchers):
                await after(0.05)
            assert asyncio.get_running_loop().time() - gone_at < 0.9 * within_s
            assert len(directory) == 0
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    in_virtual_time(scenario())


async def test_many_actors_have_their_turns_in_several_steps_of_the_event_loop(
    log: JobLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis = Redis(log.state)
    directory = Directory(redis, redis)
    in_a_step: list[int] = [0]
    ordinary = Directory._verify_next

    def counted(self: Directory) -> None:
        in_a_step[-1] += 1
        ordinary(self)

    monkeypatch.setattr(Directory, "_verify_next", counted)
    with ExitStack() as viewing:
        for number in range(500):
            context = directory.viewing(f"j{number}", log.state, Watcher().mailbox, None)
            viewing.enter_context(context)
        watching = asyncio.create_task(directory.verify_jobs(0.01))
        while sum(in_a_step) < 1000:
            in_a_step.append(0)
            await asyncio.sleep(0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert max(in_a_step) == 100
