"""A job as Redis would have it, for an actor that is asked about without any Redis.

The log grows by the same rules as the append script's; publications, the reading of answers and
their arrival each happen when a test says so, in the order that it says.
"""

import asyncio
import json
from dataclasses import dataclass, field
from types import MethodType
from typing import Any, cast

from actors.directory import Directory
from actors.job_actor import JobActor
from actors.mailbox import Ending, Mailbox
from actors.messages import Deregister, Register
from actors.runtime import LoopInbox
from eventlog.catch_up import PAGE, CatchUp, IsWanted, OnAnswer
from eventlog.channel import Published, Subscribed, Subscriber
from schema.entry import Entry, entry_from_log
from schema.events import Terminal
from schema.resume import Beginning
from schema.sse import Frame
from schema.state import JobState, fold
from tests.support.sse import Event, Parser

JOB = "j1"


class Watcher:
    """A viewer's end of a mailbox; ``events`` are what it was sent, as a browser reads it."""

    def __init__(self, cursor: Beginning = None) -> None:
        self.cursor = cursor
        self.events: list[Event] = []
        self.mailbox = Mailbox(10**6, self._offer, lambda: None)
        self._parser = Parser()

    @property
    def ending(self) -> Ending | None:
        """Return why nothing more comes, if so."""
        return self.mailbox.ending

    @property
    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [event.name for event in self.events]

    @property
    def ids(self) -> list[str]:
        """Return the ids of the events so far; of one without id, that of the event before."""
        return [event.id for event in self.events]

    @property
    def resets(self) -> list[tuple[int, str]]:
        """Return each reset so far: the attempt that it names, and the reason."""
        data = [event.data for event in self.events if event.name == "reset"]
        return [(each["attempt"], each["reason"]) for each in data]

    def _offer(self, frame: Frame) -> bool:
        self.events += self._parser.feed(frame.data)
        return True


@dataclass
class Question:
    """What an actor asked; the answer is read at one time and arrives at another."""

    cursor: str | None
    given: OnAnswer
    is_wanted: IsWanted
    most: int = PAGE
    answer: CatchUp | None = None

    @property
    def inbox(self) -> LoopInbox:
        """Return the inbox of the actor that asks."""
        return cast("LoopInbox", cast("MethodType", self.is_wanted).__self__)


@dataclass
class JobLog:
    """The job's log, its publications, and who asks about it."""

    page: int = 100
    entries: list[Entry] = field(default_factory=list)
    gone: bool = False
    questions: list[Question] = field(default_factory=list)
    settled: list[tuple[Terminal, int]] = field(default_factory=list)
    _number: int = 0
    _last: str = ""

    def __post_init__(self) -> None:
        self.create("s1", after=self._number)

    @property
    def state(self) -> JobState:
        """Return the job as it is."""
        state = fold(self.entries)
        assert state is not None
        return state

    @property
    def last(self) -> str:
        """Return the id of the last entry."""
        return self.state.last

    def create(self, session: str, *, after: int = 0) -> bytes:
        """Begin the job, anew if there was one under its id; return what is published of that.

        Args:
            session: whose job it is.
            after: the number before its first entry's.
        """
        self.entries.clear()
        self.gone = False
        self._number = after
        self.append("_created", type="report", sessionId=session)
        return publication("_created", "{}", self._last)

    def append(self, name: str, data: object = None, **fields: str) -> bytes:
        """Append an entry and return its publication; that of a log-only entry is empty."""
        text = json.dumps({} if data is None else data, ensure_ascii=False)
        prev, self._last = self._last, self._add({"event": name, "data": text, **fields})
        if name.startswith("_"):
            return b""
        return publication(name, text, self._last, prev)

    def progress(self, percent: int, **further: object) -> bytes:
        """Append progress."""
        nothing = {"currentStep": None, "estimatedTimeRemaining": None}
        return self.append("progress-update", {"progress": percent, **nothing, **further})

    def start(self, **further: object) -> bytes:
        """Append the start of a run."""
        nothing = {"currentStep": None, "estimatedTimeRemaining": None}
        return self.append("step-change", {"progress": 0, **nothing, **further}, run="r1")

    def cut(self) -> None:
        """Put a checkpoint at the end and forget all before it, as the script does to a full log.

        Something must be appended next: the script writes no checkpoint without it.
        """
        state = self.state
        fields = {
            "status": state.status,
            "attempt": str(state.attempt),
            "attemptId": state.attempt_id,
            "created": state.created,
            "last": state.last,
            "type": state.type,
            "sessionId": state.session_id or "",
            "progress": str(state.progress),
            "extra": json.dumps(dict(state.extra)),
        }
        if state.run is not None:
            fields["run"] = state.run
        if state.current_step is not None:
            fields["currentStep"] = state.current_step
        if state.cancel_requested:
            fields["cancel"] = "1"
        self._add({"event": "_checkpoint", **fields})
        del self.entries[:-1]

    def read(self, cursor: str | None, most: int = PAGE) -> CatchUp:
        """Return what the reader would say now."""
        if self.gone:
            return CatchUp(None)
        state, ids = self.state, [entry.id for entry in self.entries]
        if cursor is None:
            return CatchUp(state)
        if cursor not in ids:
            return CatchUp(state, oldest=self.entries[0])
        after = self.entries[ids.index(cursor) + 1 :]
        page = min(self.page, most)
        return CatchUp(state, tuple(after[:page]), len(after) > page)

    def catch_up(
        self,
        job_id: str,
        cursor: str | None,
        given: OnAnswer,
        is_wanted: IsWanted,
        most: int = PAGE,
    ) -> None:
        assert job_id == JOB
        self.questions.append(Question(cursor, given, is_wanted, most))

    def catch_up_if_changed(
        self, job_id: str, known: JobState, given: OnAnswer, is_wanted: IsWanted
    ) -> None:
        self.catch_up(job_id, known.last, given, is_wanted)

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        assert job_id == JOB
        assert known.creation == self.state.creation
        self.settled.append((event, attempt))

    def _add(self, fields: dict[str, str]) -> str:
        self._number += 1
        entry_id = f"{self._number}-0"
        self.entries.append(entry_from_log(entry_id, fields))
        return entry_id


def publication(
    name: str, data: str, entry_id: str | None = None, prev: str | None = None
) -> bytes:
    """Return a payload; without id as a publish-only worker sends it."""
    ids = "" if entry_id is None else f'"id":"{entry_id}",'
    ids += "" if prev is None else f'"prev":"{prev}",'
    return f'{{{ids}"event":"{name}","data":{data}}}'.encode()


def inbox_of(subscriber: Subscriber) -> LoopInbox:
    """Return the inbox of the actor that subscribes."""
    assert isinstance(subscriber, LoopInbox)
    return subscriber


class Feed:
    """Who follows the job's channel."""

    def __init__(self) -> None:
        self.inbox: LoopInbox | None = None
        self._subscriber: Subscriber | None = None

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        assert job_id == JOB
        self.inbox, self._subscriber = inbox_of(subscriber), subscriber

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        assert job_id == JOB
        if self._subscriber == subscriber:
            self.inbox = self._subscriber = None


class Registrar(Directory):
    """Learns of actors that take no more viewers, and of dropped publications."""

    def __init__(self) -> None:
        self.forgotten: list[LoopInbox] = []
        self.reminders: list[tuple[float, LoopInbox, object]] = []
        self.dropped = 0
        self.is_bridged = lambda: False

    def forget(self, job_id: str, actor: JobActor) -> None:
        assert job_id == JOB
        self.forgotten.append(actor.actor_inbox)

    def remind(self, delay_s: float, inbox: LoopInbox, message: object) -> None:
        self.reminders.append((delay_s, inbox, message))

    def note_dropped(self) -> None:
        self.dropped += 1


async def handled(inbox: LoopInbox) -> None:
    """Wait until the actor has handled all that it was told so far."""
    while not inbox.empty():  # noqa: ASYNC110 - that takes turns, and no time
        await asyncio.sleep(0)


def stop(inbox: LoopInbox) -> None:
    """Have an actor stop after what it was told so far."""
    if inbox._actor is not None:
        inbox._actor.stop()


async def stopped(inbox: LoopInbox) -> None:
    """Stop an actor and wait until it has."""
    stop(inbox)
    await handled(inbox)


class Scene:
    """One actor and its job, played step by step."""

    def __init__(self, log: JobLog, state: JobState | None = None) -> None:
        self.log = log
        self.feed = Feed()
        self.registrar = Registrar()
        self.inbox = JobActor.launch(JOB, self.feed, log, self.registrar, state).actor_inbox

    async def tell(self, *messages: object) -> None:
        for message in messages:
            self.inbox.tell(message)
        await handled(self.inbox)

    async def publish(self, *payloads: bytes) -> None:
        await self.tell(*(Published([payload]) for payload in payloads))

    async def publish_together(self, *payloads: bytes) -> None:
        """Have publications arrive in one read."""
        await self.tell(Published(list(payloads)))

    async def subscribed(self) -> None:
        await self.tell(Subscribed())

    async def watch(self, cursor: Beginning = None) -> Watcher:
        watcher = Watcher(cursor)
        await self.tell(Register(watcher.mailbox, cursor))
        return watcher

    async def leave(self, watcher: Watcher) -> None:
        await self.tell(Deregister(watcher.mailbox))

    async def answer(self) -> None:
        """Give the answer to the oldest question; it is read now unless it was before."""
        question = self.log.questions.pop(0)
        answer = question.answer or self.log.read(question.cursor, question.most)
        question.given(answer)
        await handled(self.inbox)

    async def answer_all(self) -> None:
        """Answer until nothing more is asked."""
        while self.log.questions:
            await self.answer()

    async def live(self) -> Watcher:
        """Bring the actor to where it knows the job; return a viewer that has its snapshot."""
        watcher = await self.watch()
        await self.subscribed()
        await self.answer()
        return watcher

    @property
    def asked(self) -> list[Any]:
        """Return the cursors of the open questions."""
        return [question.cursor for question in self.log.questions]
