"""A job as Redis would store it, for tests of actors without Redis.

The log grows by the rules of the append script. The test decides when publications arrive, when
answers are read, and when these arrive.
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
    """A viewer's end of a mailbox; ``events`` are those it was sent, parsed like in a browser."""

    def __init__(self, cursor: Beginning = None) -> None:
        self.cursor = cursor
        self.events: list[Event] = []
        self.mailbox = Mailbox(10**6, self._offer, lambda: None)
        self._parser = Parser()

    @property
    def ending(self) -> Ending | None:
        """Return why the mailbox accepts no more frames; None while it does."""
        return self.mailbox.ending

    @property
    def names(self) -> list[str]:
        """Return the names of the events so far."""
        return [event.name for event in self.events]

    @property
    def ids(self) -> list[str]:
        """Return the last event id after each event so far."""
        return [event.id for event in self.events]

    @property
    def resets(self) -> list[tuple[int, str]]:
        """Return the attempt and the reason of each reset so far."""
        data = [event.data for event in self.events if event.name == "reset"]
        return [(each["attempt"], each["reason"]) for each in data]

    def _offer(self, frame: Frame) -> bool:
        self.events += self._parser.feed(frame.data)
        return True


@dataclass
class Question:
    """A question of an actor. Its answer may be read at one time and arrive at another."""

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
    """The job's log, its publications, and the questions about it."""

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
        """Return the job's current state."""
        state = fold(self.entries)
        assert state is not None
        return state

    @property
    def last(self) -> str:
        """Return the id of the last entry."""
        return self.state.last

    def create(self, session: str, *, after: int = 0) -> bytes:
        """Create the job, replacing an earlier one with its id; return the publication.

        Args:
            session: session of its owner.
            after: the number that precedes that of its first entry.
        """
        self.entries.clear()
        self.gone = False
        self._number = after
        self.append("_created", type="report", sessionId=session)
        return publication("_created", "{}", self._last)

    def append(self, name: str, data: object = None, **fields: str) -> bytes:
        """Append an entry and return its publication, which is empty if the entry is log-only."""
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
        """Add a checkpoint and trim all entries before it, as the script does with a full log.

        An append must follow: the script only writes checkpoints together with one.
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
        """Return the reader's answer at this moment."""
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
    """Return a payload; without an id, that of a publish-only worker."""
    ids = "" if entry_id is None else f'"id":"{entry_id}",'
    ids += "" if prev is None else f'"prev":"{prev}",'
    return f'{{{ids}"event":"{name}","data":{data}}}'.encode()


def inbox_of(subscriber: Subscriber) -> LoopInbox:
    """Return the inbox of the actor that subscribes."""
    assert isinstance(subscriber, LoopInbox)
    return subscriber


class Feed:
    """The subscriptions of the service; keeps the actor that follows the job's channel."""

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
    """A directory that records retired actors, reminders and dropped publications."""

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
    """Wait until the actor has handled all messages in its inbox."""
    while not inbox.empty():  # noqa: ASYNC110 - that takes turns, and no time
        await asyncio.sleep(0)


def stop(inbox: LoopInbox) -> None:
    """Make an actor stop after the messages in its inbox."""
    if inbox._actor is not None:
        inbox._actor.stop()


async def stopped(inbox: LoopInbox) -> None:
    """Stop an actor and wait until it has stopped."""
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
        """Deliver publications in one read."""
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
        """Answer the oldest question; the log is read now unless the answer was read before."""
        question = self.log.questions.pop(0)
        answer = question.answer or self.log.read(question.cursor, question.most)
        question.given(answer)
        await handled(self.inbox)

    async def answer_all(self) -> None:
        """Answer until no question is open."""
        while self.log.questions:
            await self.answer()

    async def live(self) -> Watcher:
        """Let the actor read the job's state; return a viewer that has the snapshot."""
        watcher = await self.watch()
        await self.subscribed()
        await self.answer()
        return watcher

    @property
    def asked(self) -> list[Any]:
        """Return the cursors of the open questions."""
        return [question.cursor for question in self.log.questions]
