"""The way of a job's end, call by call, from the bytes of Redis to the last chunk of a stream.

It is the real one, on Hypercorn and with Redis. The end is published, the actor asks the log for it
in one round trip, and shows what it reads. A change that adds a call should be worth it, and one
that takes one away should change this list and the one in ``docs/architecture.md``.
"""

import asyncio
from threading import Event

from quart import Quart

import jobcast
from app import Settings, create_app
from tests.integration.test_way_of_a_viewer import BESIDE, OURS, watching
from tests.support.architecture import is_part_of, ways
from tests.support.function_calls import calls
from tests.support.hypercorn_server import serving
from tests.support.sse import WAIT_SECONDS
from tests.support.valkey import Valkey
from tests.support.waiting import until

ON_THE_WAY = [
    *("Connection.buffer_updated", "SubscriberConnection._deliver", "LoopInbox.hand"),
    *("JobActor.on_receive", "FollowedLog.published"),
    *("decode_publication", "parse_event", "normalize_json", "_parse_complete"),
    *("FollowedLog._accept", "is_after", "JobActor._do", "FollowedLog._defer"),
    "FollowedLog.catch_up",
    *("Questions.catch_up", "Reader.ask", "BatchReader.ask", "state_key", "OneServer.known"),
    *("ServerBatches.add", "ServerBatches._flush"),
    *("ServerBatches._read", "ServerBatches._answer"),
    *("Question.commands", "state_key", "log_key", "packed"),
    *("_replies", "available", "Server.ask", "Server.open", "Connection.is_idle"),
    *("Connection.is_open", "Connection.ask"),
    *("Connection.get_buffer", "Connection.buffer_updated"),
    *("Question.answer", "Question._decoded", "_share"),
    *("JobState.from_hash", "_decode_strictly"),
    *("decode_catch_up", "position", "position", "position", "_decode_entries", "_decode_entry"),
    *("JobState.finished", "entry_from_log", "parse_event", "normalize_json", "_parse_complete"),
    *("Entry.is_terminal", "JobState.finished", "Complaints.substituted", "_reply"),
    *("Reader.ask.<locals>.handle", "CatchUp.may_be_trimmed", "_answered"),
    *("LoopInbox.hand", "JobActor.on_receive", "JobActor._caught_up", "CatchUp.split"),
    *("JobActor._do", "FollowedLog.caught_up", "FollowedLog._is_another", "JobState.creation"),
    *("FollowedLog._deliver_missed", "apply", "encode_entry", "encode"),
    *("Audience.broadcast", "Mailbox.put", "TransportOutlet.offer"),
]
"""Read, not believed; asked for, read again, folded, encoded, shown."""

AFTERWARDS = [
    *("FollowedLog._conclude", "JobActor._conclude", "Directory.forget", "Subscriptions.unfollow"),
    *("Audience.dismiss", "Mailbox.end", "Viewer._wake", "Viewers.remove", "Place.free"),
    "JobActor._deregister",
]
"""What lets the viewer and the actor go; its order is that of the event loop."""


BY_THE_CLOCK = {"Directory._verify_next", "SubscriberConnection._refused", "Viewer.keep_alive"}
"""What happens every few seconds: a round in which it does does not count."""


def counts(path: str, name: str) -> bool:
    return (
        path.startswith(OURS) and "upkeep" not in path and name not in {*BESIDE, "Viewers.__len__"}
    )


def work(url: str, job_id: str, started: Event, may_end: Event) -> None:
    """Run the job in a thread of its own, whose calls are not noted."""

    async def run() -> None:
        async with jobcast.connect(url) as jobs, jobs.run(job_id):
            started.set()
            await asyncio.to_thread(may_end.wait, WAIT_SECONDS)

    asyncio.run(run())


async def calls_of_an_end(app: Quart, redis: str, url: str, job_id: str) -> list[str]:
    started, may_end = Event(), Event()
    viewers = app.extensions["jobcast"].viewers
    worker = asyncio.create_task(asyncio.to_thread(work, redis, job_id, started, may_end))
    await asyncio.to_thread(started.wait, WAIT_SECONDS)
    async with watching(url, job_id):
        with calls(counts) as passed:
            may_end.set()
            await until(lambda: not len(viewers))
    await worker
    return passed


async def test_the_end_of_a_job_passes_these_functions(valkey: Valkey) -> None:
    app = create_app(Settings(redis_url=valkey.url, jwt_secret="s" * 32, log_entries=1000))
    async with jobcast.connect(valkey.url) as jobs, app.test_app(), serving(app) as url:
        passed = list(BY_THE_CLOCK)
        while BY_THE_CLOCK & set(passed):
            job_id = await jobs.create("report", session_id="s1")
            passed = await calls_of_an_end(app, valkey.url, url, job_id)
    first, shown = passed.index("Connection.buffer_updated"), passed.index("TransportOutlet.offer")
    assert passed[first : shown + 1] == ON_THE_WAY
    assert set(passed[shown:]) >= set(AFTERWARDS)


def test_the_page_describes_this_way() -> None:
    assert is_part_of(ways()[1], ON_THE_WAY)
