import asyncio

import pytest

from app import lifecycle
from app.lifecycle import _keep_running


async def test_what_a_service_cant_be_without_begins_anew_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifecycle, "_RESTART_S", 0)
    begun = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise RuntimeError("something new")
        third.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(_keep_running(work))
    async with asyncio.timeout(5):
        await third.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert caplog.text.count("is restarted: something new") == 1  # the same failure again
