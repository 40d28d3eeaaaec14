"""What is decided about a viewer of a finished job, also when the job is retried meanwhile."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from actors.directory import Directory
from actors.mailbox import Ending
from app.auth import Authenticator
from app.errors import ServiceUnavailable
from app.raw_request import RawRequest
from app.settings import Settings
from app.streaming.decision import Decision, LiveStream, NoContent, Refusal, Streams, WholeStream
from app.streaming.replay import replay
from app.streaming.viewer import COMMENT, PING_EVENT, Viewer
from app.streaming.viewers import Viewers
from eventlog.catch_up import CatchUp
from eventlog.channel import Subscribed
from schema.owner import Owner
from schema.sse import Frame
from schema.state import JobState
from tests.support.job_world import JOB, Feed, JobLog, Watcher
from tests.support.sse import Event, Parser
from tests.support.viewing import START
from tests.support.waiting import until

SETTINGS = Settings(jwt_secret="secret" * 8)


class Reading:
    """Reads the job; before the read of a number something happens."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self.before: dict[int, Callable[[], object]] = {}
        self.count = 0

    async def catch_up(self, job_id: str, cursor: str | None) -> CatchUp:
        assert job_id == JOB
        self.count += 1
        await asyncio.sleep(0)
        self.before.get(self.count, lambda: None)()
        return self._log.read(cursor)


class Service:
    """As much of the service as decides about streams."""

    def __init__(self, log: JobLog) -> None:
        self.log = log
        self.reading = Reading(log)
        self.feed = Feed()
        self.directory = Directory(self.feed, log)
        self.viewers = Viewers(SETTINGS)
        self._streams = Streams(
            settings=SETTINGS,
            authenticator=Authenticator(SETTINGS),
            jobs=cast("Any", SimpleNamespace(owned=self._owned)),
            reader=cast("Any", self.reading),
            directory=self.directory,
            viewers=self.viewers,
            active_jobs=cast("Any", None),
            announcements=cast("Any", None),
        )

    async def _owned(self, _owner: Owner, job_id: str) -> tuple[str, JobState]:
        return job_id, self.log.state

    async def decide(self, cursor: str | None, method: str = "GET", query: bytes = b"") -> Decision:
        """Decide about a request of the job's owner."""
        headers = [(b"x-session-id", b"s1")]
        headers += [] if cursor is None else [(b"last-event-id", cursor.encode())]
        scope = {"method": method, "query_string": query, "headers": headers}
        return await self._streams.decide(RawRequest(scope), JOB)

    async def shown(self, viewer: Viewer) -> list[Event]:
        """Have a viewer served until it has been shown something; return all of that."""
        parser, gone, news = Parser(), asyncio.Event(), asyncio.Event()
        events: list[Event] = []

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's
            if message["type"] != START:
                events.extend(parser.feed(message["body"]))
                news.set()

        scope = {"type": "http", "http_version": "1.1", "method": "GET"}
        serving = asyncio.create_task(viewer.serve(scope, receive, send, {"type": START}))
        await until(lambda: self.feed.inbox is not None)
        inbox = self.feed.inbox
        assert inbox is not None
        inbox.tell(Subscribed())
        news.clear()
        while not news.is_set():
            await until(lambda: bool(self.log.questions) or news.is_set())
            for question in self.log.questions:
                question.given(self.log.read(question.cursor))
            self.log.questions.clear()
        assert not serving.done()
        gone.set()
        await serving
        return events


@pytest.fixture
def log() -> JobLog:
    """Return the log of a job that has failed."""
    failed = JobLog(page=3)
    failed.start()
    for percent in (10, 20, 30, 40, 50):
        failed.progress(percent)
    failed.append("failed", {"error": "no", "errorCode": None})
    return failed


def retried(log: JobLog) -> Callable[[], object]:
    """Return what retries the job."""
    return lambda: log.append("_retried")


def lost(log: JobLog) -> Callable[[], object]:
    """Return what makes the job vanish."""
    return lambda: setattr(log, "gone", True)


def replaced(log: JobLog) -> Callable[[], object]:
    """Return what has another job get the id, which is finished too."""

    def replace() -> None:
        log.create("s2")
        log.start()
        log.append("complete", {"result": "secret"})

    return replace


def told(decision: Decision) -> list[str]:
    """Return the names of the events of a whole stream."""
    assert isinstance(decision, WholeStream)
    parser = Parser()
    events = parser.feed(decision.body)
    assert not parser.retries
    return [event.name for event in events]


@pytest.mark.parametrize(
    ("cursor", "names"),
    [
        (None, ["failed"]),
        ("1-0", ["step-change", *["progress-update"] * 5, "failed"]),
        ("5-0", ["progress-update", "progress-update", "failed"]),
        ("9-9", ["reset", "failed"]),
        ("rubbish", ["reset", "failed"]),
        ("", ["failed"]),
    ],
)
async def test_a_finished_job_is_told_to_its_end(
    log: JobLog, cursor: str | None, names: list[str]
) -> None:
    assert told(await Service(log).decide(cursor)) == ["connected", *names]


async def test_a_viewer_that_has_seen_the_end_is_told_so(log: JobLog) -> None:
    assert isinstance(await Service(log).decide(log.last), NoContent)


@pytest.mark.parametrize("happens", [retried, lost, replaced])
@pytest.mark.parametrize(("cursor", "read"), [(None, 1), ("1-0", 1), ("2-0", 2), ("9-9", 1)])
async def test_what_has_no_end_any_more_is_not_replayed(
    log: JobLog, happens: Callable[[JobLog], Callable[[], object]], cursor: str | None, read: int
) -> None:
    reading, known = Reading(log), log.state
    reading.before[read] = happens(log)
    assert await replay(cast("Any", reading), JOB, known, cursor) is None
    assert reading.count == read


@pytest.mark.parametrize("page", [1, 64])
@pytest.mark.parametrize(("notes", "is_replayed"), [(2, True), (3, False)])
async def test_a_long_history_is_left_to_an_actor_whatever_a_page_holds(
    page: int, notes: int, *, is_replayed: bool
) -> None:
    log = JobLog(page=page)
    log.start()
    for _ in range(notes):
        log.append("note", {"text": "x" * 120 * 1024})
    log.append("complete", {"result": "x" * 500 * 1024})
    decision = await Service(log).decide("1-0")
    assert isinstance(decision, WholeStream) == is_replayed


@pytest.mark.parametrize(("cursor", "resets"), [(None, 0), ("2-0", 1)])
async def test_who_comes_as_a_finished_job_is_retried_watches_the_new_attempt(
    log: JobLog, cursor: str | None, resets: int
) -> None:
    service = Service(log)
    service.reading.before[1] = retried(log)
    decision = await service.decide(cursor)
    assert isinstance(decision, LiveStream)
    shown = await service.shown(decision.viewer)
    assert [(event.name, event.id) for event in shown] == [
        ("connected", ""),
        *[("reset", "")] * resets,
        ("progress-update", log.last),
    ]


@pytest.mark.parametrize(
    ("query", "keepalive"),
    [
        *((b"ping=1", PING_EVENT), (b"a=2&ping=1&b", PING_EVENT), (b"ping=1&ping=0", PING_EVENT)),
        *(
            (b"", COMMENT),
            (b"ping=0", COMMENT),
            (b"ping=", COMMENT),
            (b"ping", COMMENT),
        ),
        *(
            (b"ping=true", COMMENT),
            (b"ping=01", COMMENT),
            (b"ping=1+", COMMENT),
        ),
        *(
            (b"ping=0&ping=1", COMMENT),
            (b"Ping=1", COMMENT),
            (b"ping=%F0", COMMENT),
        ),
    ],
)
async def test_pings_are_for_who_asks_for_them_with_a_1(query: bytes, keepalive: Frame) -> None:
    decision = await Service(JobLog()).decide(None, query=query)
    assert isinstance(decision, LiveStream)
    assert decision.viewer._keepalive is keepalive


async def test_who_comes_as_another_job_gets_the_id_of_a_finished_one_is_sent_back(
    log: JobLog,
) -> None:
    service = Service(log)
    service.reading.before[1] = replaced(log)
    decision = await service.decide(None)
    assert isinstance(decision, LiveStream)
    watcher = Watcher()
    with decision.viewer._watch(watcher.mailbox):
        inbox = service.feed.inbox
        assert inbox is not None
        inbox.tell(Subscribed())
        await until(lambda: bool(log.questions))
        [question] = log.questions
        question.given(log.read(question.cursor))
        await until(lambda: watcher.ending is not None)
    assert (watcher.names, watcher.ending) == (["connected"], Ending.RETRY)


async def test_a_head_of_a_job_that_is_retried_meanwhile_takes_no_place(log: JobLog) -> None:
    service = Service(log)
    service.reading.before[1] = retried(log)
    assert told(await service.decide(None, "HEAD")) == ["connected"]
    assert not service._streams._limits._of_owner


async def test_nobody_is_let_in_while_the_process_ends(log: JobLog) -> None:
    service = Service(log)
    service.viewers.draining = True
    log.append("_retried")
    decision = await service.decide(None)
    assert isinstance(decision, Refusal)
    assert isinstance(decision.error, ServiceUnavailable)
