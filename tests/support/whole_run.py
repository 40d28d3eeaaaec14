"""A whole run of a job by any library: its log, state, index entries and publications."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.deployments import Deployment

_EVENTS = ["_created", "step-change", "progress-update", "note", "complete"]


@contextmanager
def whole_run(redis: Deployment, job_id: str) -> Iterator[None]:
    """Check the traces of a run within the block: a start, progress, a note, and 12 pages.

    The job must have been created for the user ``u1`` and the session ``s1``.
    """
    server = redis.server_of(f"jobs:{{{job_id}}}:log")
    with server.client() as client, client.pubsub(ignore_subscribe_messages=True) as followed:
        follow = followed.ssubscribe if redis.is_cluster else followed.subscribe
        follow(redis.channel(job_id))
        followed.get_message(timeout=5)
        yield
        published = [json.loads(_next_message(followed)) for _ in _EVENTS[1:]]
        log: Any = client.xrange(f"jobs:{{{job_id}}}:log")
        state = client.hgetall(f"jobs:{{{job_id}}}:state")
    assert [fields["event"] for _, fields in log] == _EVENTS
    assert [event["id"] for event in published] == [entry_id for entry_id, _ in log[1:]]
    assert [event["event"] for event in published] == _EVENTS[1:]
    assert published[-1]["data"] == {"result": {"pages": 12}}
    assert (state["status"], state["last"]) == ("succeeded", log[-1][0])
    for key in ("jobs:by-user:u1", "jobs:by-session:s1"):
        index = redis.server_of(key)
        assert [member[14:] for member in index.ask("ZRANGE", key, 0, -1)] == [job_id]
        assert index.ask("TTL", key) > 0


def _next_message(followed: Any) -> str:  # noqa: ANN401 - redis-py's
    while (message := followed.get_message(timeout=5)) is None:
        pass
    text: str = message["data"]
    return text
