"""Docket: batches of tasks, each of which is a job of Jobcast."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from docket import Docket, Worker

from jobcast.adapters.docket import Jobcast, followed
from tests.queues.log import CANCELLED, Log
from tests.support.valkey import Valkey


async def double(number: int) -> int:
    """Return twice as much."""
    return 2 * number


@pytest.fixture
async def docket(server: Valkey) -> AsyncIterator[Docket]:
    async with (
        Docket(name=f"batches-{uuid4()}", url=server.url) as made,
        followed(made, server.url),
    ):
        yield made


async def work(docket: Docket, server: Valkey) -> None:
    """Have a worker run what is due."""
    dependencies: Any = [Jobcast(server.url)]
    async with Worker(docket, dependencies=dependencies) as worker:
        await worker.run_until_finished()


@pytest.mark.usefixtures("owner")
async def test_each_task_of_a_batch_is_a_job(docket: Docket, server: Valkey, log: Log) -> None:
    calls = [docket.call(double)(number) for number in range(3)]
    calls.append(docket.call(double, key=calls[0].key)(9))
    first = await docket.add_many(calls, chunk_size=2)
    assert [each.disposition.value for each in first] == ["scheduled"] * 3 + ["already_scheduled"]
    assert [log.names(each.key) for each in calls[:3]] == [["_created"]] * 3
    await work(docket, server)
    for number, each in enumerate(calls[:3]):
        state = log.state(each.key)
        assert (state["status"], state["result"]) == ("succeeded", str(2 * number))
        assert (state["userId"], state["type"]) == ("7", "double")


@pytest.mark.usefixtures("owner")
async def test_a_batch_that_replaces_tasks_goes_on_with_their_jobs(
    docket: Docket, server: Valkey, log: Log
) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    key = f"replaced-{uuid4()}"
    await docket.add_many([docket.call(double, when=later, key=key)(1)])
    await docket.replace_many([docket.call(double, key=key)(4)])
    await work(docket, server)
    assert log.state(key)["result"] == "8"
    assert log.names(key).count("_created") == 1


@pytest.mark.usefixtures("owner")
async def test_a_batch_that_is_not_added_leaves_no_job_that_waits(docket: Docket, log: Log) -> None:
    call = docket.call(double)(1)
    with pytest.raises(ValueError, match="chunk_size"):
        await docket.add_many([call], chunk_size=0)
    assert log.events(call.key)[-1] == CANCELLED
