"""The way of an arriving viewer, call by call, from the ASGI scope to its first events.

It is the real one, on Hypercorn and with Redis. A viewer comes to a job that others watch already,
says who it is by a session id, and has seen nothing. Each line is a call for every viewer of a
crowd: a change that adds one should be worth it, and one that takes one away should change this
list and the one in ``docs/architecture.md``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import jobcast
from app import Settings, create_app
from tests.support.architecture import is_part_of, ways
from tests.support.function_calls import calls
from tests.support.hypercorn_server import serving
from tests.support.sse import WAIT_SECONDS
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
LIBRARY = "sdk/python/src/jobcast"
OURS = tuple(f"{ROOT / name}/" for name in ("app", "actors", "eventlog", "schema", LIBRARY))
SHARED = tuple(f"{ROOT / name}/" for name in ("eventlog", f"{LIBRARY}/redis", "app/upkeep"))
"""What reads the state for all who ask together, and what goes on beside requests."""

REPAIRS = tuple(
    f"{ROOT / 'app' / 'server' / name}.py"
    for name in ("idle_connections", "paced_server", "repairs")
)
"""What belongs to a connection; it is in place where Hypercorn has begun in this process before."""

ON_THE_WAY = [
    *("StreamMiddleware.__call__", "StreamMiddleware._job_of"),
    *("RawRequest.__init__", "Headers.__init__"),
    *("Streams.decide", "with_deadline.<locals>.bounded", "Streams._decide"),
    *("Authenticator.identify", "session_of", "Headers.getlist", "session_id"),
    *(
        "Authenticator._candidates",
        "_bearers",
        "Headers.getlist",
        "RawRequest.args",
        "Parameters.getlist",
    ),
    *("Jobs.owned", "parse_job_id", "JobState.owner", "Owner.shares_with"),
    *("Headers.get", "Parameters.get", "beginning", "JobState.finished"),
    *("Limits.reserve", "_owner_keys", "Limits._check_job", "Place.__init__"),
    *(
        "Streams._viewer",
        "Identity.lifetime_s",
        "Parameters.get",
        "Viewer.__init__",
    ),
    *("Headers.get", "StreamHead.of", "Viewers.add", "Viewer.serve"),
    *("open_outlet", "server_behind", "begin_response"),
    *("TransportOutlet.__init__", "MailboxPump.__init__", "Mailbox.__init__"),
    *("Streams._watch", "Streams._greeting", "encode_greeting", "raw_frame", "chunked"),
    *("Mailbox.put", "TransportOutlet.offer"),
    *("Directory.viewing", "Directory.inbox_of", "JobState.creation"),
    *("LoopInbox.hand", "JobActor.on_receive"),
    *("JobActor._register", "JobActor._admit", "JobActor._send_state"),
    *("encode_snapshot", "JobState.snapshot", "encode_progress", "encode", "Mailbox.put"),
    *("JobState.finished", "Audience.admit", "_Viewing.__init__", "_Viewing.__enter__"),
    "TransportOutlet.attach",
    *("Mailbox.take", "Mailbox._emptied", "Mailbox.__len__", "Viewer._wait_for_end"),
]
"""Which stream, who asks, whose job, where to begin, a place, the head, the outlet, the greeting,
the actor, the snapshot, the first write."""

OF_ONE_STATE = [
    *("state_key", "log_key", "JobState.from_hash", "_decode_strictly", "error_of", "position"),
]
"""What of ``schema`` reads the state, once for all viewers of a job that ask together."""

BESIDE = {"_keep_running", "Directory.verify_jobs", "Viewers.keep_alive", "_encode"}
"""Background tasks, and the head of a response, which is encoded once a second."""


@asynccontextmanager
async def watching(url: str, job_id: str) -> AsyncIterator[None]:
    """Watch a job; the block begins when the snapshot has come."""
    reader, writer = await asyncio.open_connection(HOST, urlsplit(url).port)
    path = f"/api/v1/jobs/{job_id}/stream"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nx-session-id: s1\r\n\r\n".encode())
    async with asyncio.timeout(WAIT_SECONDS):
        await reader.readuntil(b"event: progress-update")
    try:
        yield
    finally:
        writer.close()


def counts(path: str, name: str) -> bool:
    is_ours = path.startswith(OURS) and not path.startswith(SHARED + REPAIRS)
    return is_ours and name not in OF_ONE_STATE and name not in BESIDE


async def test_an_arriving_viewer_passes_these_functions(valkey: Valkey) -> None:
    app = create_app(Settings(redis_url=valkey.url, jwt_secret="s" * 32, log_entries=1000))
    async with jobcast.connect(valkey.url) as jobs, app.test_app(), serving(app) as url:
        job_id = await jobs.create("report", session_id="s1")
        directory = app.extensions["jobcast"].directory
        async with watching(url, job_id):
            await until(lambda: len(directory) == 1)
            with calls(counts) as passed:
                async with watching(url, job_id):
                    on_the_way = list(passed)
    assert on_the_way == ON_THE_WAY


def test_the_page_describes_this_way() -> None:
    assert is_part_of(ways()[2], ON_THE_WAY)
