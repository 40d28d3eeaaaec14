"""The worker library on Redis as people run it."""

import json
from typing import Any

import pytest

import jobcast
from tests.support.deployments import FORMS, Deployment, deployment


@pytest.fixture(params=FORMS)
def redis(request: pytest.FixtureRequest) -> Deployment:
    return deployment(request.param, request)


async def test_a_run_is_logged_published_and_indexed(redis: Deployment) -> None:
    async with jobcast.connect(redis.url, progress_per_s=None) as jobs:
        job_id = await jobs.create("report", user_id="u1", session_id="s1")
        server = redis.server_of(f"jobs:{{{job_id}}}:log")
        with server.client() as client, client.pubsub(ignore_subscribe_messages=True) as followed:
            follow = followed.ssubscribe if redis.is_cluster else followed.subscribe
            follow(redis.channel(job_id))
            followed.get_message(timeout=5)
            async with jobs.run(job_id) as run:
                await run.progress(40, "Writing...", eta=30)
                await run.emit("note", {"text": "é"})
                run.result = {"pages": 12}
            published = [json.loads(next_message(followed)) for _ in range(4)]
            log: Any = client.xrange(f"jobs:{{{job_id}}}:log")
            state = client.hgetall(f"jobs:{{{job_id}}}:state")
    names = ["_created", "step-change", "progress-update", "note", "complete"]
    assert [fields["event"] for _, fields in log] == names
    assert [event["id"] for event in published] == [entry_id for entry_id, _ in log[1:]]
    assert [event["event"] for event in published] == names[1:]
    assert published[-1]["data"] == {"result": {"pages": 12}}
    assert (state["status"], state["last"]) == ("succeeded", log[-1][0])
    for key in ("jobs:by-user:u1", "jobs:by-session:s1"):
        index = redis.server_of(key)
        assert [member[14:] for member in index.ask("ZRANGE", key, 0, -1)] == [job_id]
        assert index.ask("TTL", key) > 0


def next_message(followed: Any) -> str:  # noqa: ANN401 - redis-py's
    while (message := followed.get_message(timeout=5)) is None:
        pass
    text: str = message["data"]
    return text
