"""Fixtures of the tests without any I/O."""

from collections.abc import AsyncIterator

import pytest

from tests.support.job_world import JobLog, Scene, handled, stopped


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Return an actor that has begun to follow its job, which was just created."""
    played = Scene(JobLog())
    await handled(played.inbox)
    yield played
    if played.inbox.is_open():
        await stopped(played.inbox)


@pytest.fixture
def log(scene: Scene) -> JobLog:
    """Return the log of the job."""
    return scene.log
