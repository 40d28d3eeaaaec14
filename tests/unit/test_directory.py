from collections.abc import AsyncIterator

import pytest

from actors.directory import Directory
from actors.mailbox import Ending
from actors.messages import Expire, Subscribed
from actors.questions import Ref
from tests.job_world import JOB, Feed, JobLog, Watcher, handled
from tests.waiting import eventually


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
    if feed.ref is not None:
        await feed.ref.stop(block=False)
    assert len(made) == 0


async def follower(feed: Feed) -> Ref:
    """Return the actor that follows the job, once there is one."""

    async def is_followed() -> bool:
        return feed.ref is not None

    await eventually(is_followed)
    assert feed.ref is not None
    return feed.ref


async def known(feed: Feed, log: JobLog) -> Ref:
    """Return the actor that follows the job, once it knows it."""
    ref = await follower(feed)
    ref.tell(Subscribed())
    await handled(ref)
    question = log.questions.pop()
    ref.tell(question.message(log.read(question.cursor)))
    await handled(ref)
    return ref


async def test_viewers_of_a_job_share_its_actor(
    directory: Directory, feed: Feed, log: JobLog
) -> None:
    first, second = Watcher(), Watcher()
    with directory.viewing(JOB, log.state, first.mailbox, None):
        actor = await known(feed, log)
        with directory.viewing(JOB, log.state, second.mailbox, None):
            await handled(actor)
            assert second.names == first.names == ["progress-update"]
            assert feed.ref is actor
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
    assert feed.ref is not None
    await handled(feed.ref)
    assert [message for _, _, message in log.reminders] == [Expire()]


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
        directory.forget(JOB, older)
        with directory.viewing(JOB, log.state, second.mailbox, None):
            await older.stop(block=False)
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
        await actor.stop(block=False)
        assert watcher.ending is Ending.RETRY
