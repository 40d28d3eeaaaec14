"""Pykka actors on an asyncio event loop.

Pykka runs an actor in a thread of its own. A ``LoopActor`` runs on the event loop that it was
started on: the first message into an empty inbox asks for a turn, in which all that waits is
handled. An idle actor has no thread and no task. ``on_receive`` is synchronous, so handling one
message is atomic.

A message comes by Pykka's ``tell``, from any thread, and waits for the actor's turn; or by
``hand``, on the event loop's thread, and is handled in that very call unless others wait before it.

Source: Pykka's ``Actor`` names its extension points ``_create_actor_inbox``, ``_create_future`` and
``_start_actor_loop``; life cycle, failure and registry are its own.
"""

import asyncio
import itertools
import sys
from typing import Any, Final, NoReturn

import pykka
from pykka._envelope import Envelope

_numbers = itertools.count(1)

_FAIR_SHARE: Final = 32
"""Messages that one actor handles before others get their turn, and the event loop its own."""

Ref = pykka.ActorRef[Any]


def tell(ref: Ref, message: object) -> None:
    """Send a message to an actor that may have stopped."""
    if ref.is_alive():
        ref.tell(message)


def hand(ref: Ref, message: object) -> None:
    """Have a message handled at once, unless others wait; on the event loop's thread."""
    inbox: Any = ref.actor_inbox
    inbox.hand(message)


class LoopInbox:
    """An actor's messages, and its turns to handle them."""

    __slots__ = ("_actor", "_busy", "_loop", "waiting")

    def __init__(self) -> None:
        self.waiting: list[Envelope[Any]] = []
        self._busy = False  # a message is being handled, or a turn is asked for
        self._actor: LoopActor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, actor: "LoopActor") -> None:
        """Begin to deliver to an actor, on the event loop that is running.

        Raises:
            RuntimeError: none is running.
        """
        self._loop = asyncio.get_running_loop()
        self._actor = actor

    def close(self) -> None:
        """Deliver no more."""
        self._actor = None

    def hand(self, message: object) -> None:
        """Have a message handled at once, or after those that wait already; on the loop's thread.

        A stopped actor gets none. Pykka's ``tell`` makes an envelope and a callback for each, which
        takes longer than the handling of most.
        """
        actor = self._actor
        if self._busy:
            self.put(Envelope(message))
        elif actor is not None:
            self._busy = True
            try:
                actor.on_receive(message)
            except BaseException as error:  # noqa: BLE001 - it goes on, if it is more than a failure
                actor.fail(error)
            finally:
                self._busy = False
                if self.waiting or actor.actor_stopped.yes:
                    self._rest(actor)

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message; from any thread."""
        self.waiting.append(envelope)
        if not self._busy:
            self.schedule_turn()

    def get(self) -> Envelope[Any]:
        """Return the oldest message.

        Raises:
            IndexError: there is none.
        """
        return self.waiting.pop(0)

    def empty(self) -> bool:
        """Say whether nothing waits."""
        return not self.waiting

    def schedule_turn(self) -> None:
        """Have what waits handled soon, and what comes until then."""
        if self._loop is not None and self._actor is not None:
            self._busy = True
            self._loop.call_soon_threadsafe(self._take_turn)

    def _take_turn(self) -> None:
        actor = self._actor
        if actor is None:
            return
        try:
            actor.handle_waiting()
        finally:
            self._busy = False
            self._rest(actor)

    def _rest(self, actor: "LoopActor") -> None:
        """End a turn: the actor waits for messages, or has stopped, or needs another turn."""
        if actor.actor_stopped.yes:
            actor.end()
        elif self.waiting and not self._busy:  # another thread may have asked since
            self.schedule_turn()


class Stopped:
    """Whether an actor has stopped: a ``threading.Event`` that nobody waits for.

    The real one is a lock, a condition and a queue for each actor.

    Attributes:
        yes: what ``is_set`` says, without the call.
    """

    __slots__ = ("yes",)

    def __init__(self) -> None:
        self.yes = False

    def is_set(self) -> bool:
        """Say whether it has."""
        return self.yes

    def set(self) -> None:
        """Note that it has."""
        self.yes = True


class Reply(pykka.ThreadingFuture[Any]):
    """The future of Pykka's ``ask``, for other threads than the event loop's."""

    def get(self, *, timeout: float | None = None) -> Any:  # noqa: ANN401 - a reply is anything
        """Return the reply, as Pykka does.

        Raises:
            RuntimeError: waiting for it would block a running event loop.
        """
        if timeout != 0 and _on_a_loop():
            raise RuntimeError("this would block the event loop: ask from another thread")
        return super().get(timeout=timeout)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class LoopActor(pykka.Actor):
    """An actor whose messages are handled on the event loop that it was started on."""

    actor_inbox: LoopInbox
    actor_stopped: Any  # a ``Stopped``, which is to Pykka an event

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - Pykka's signature
        # All that Pykka's own does. That takes 20 µs and 1.2 KiB for an event with its lock and for
        # a random name, which is a thirtieth of what it costs when a viewer comes.
        self.actor_urn = f"urn:jobcast:actor:{next(_numbers)}"
        self.actor_inbox = self._create_actor_inbox()
        self.actor_stopped = Stopped()
        self._actor_ref = pykka.ActorRef(self)

    @staticmethod
    def _create_actor_inbox() -> LoopInbox:
        return LoopInbox()

    @staticmethod
    def _create_future() -> Reply:
        return Reply()

    def _start_actor_loop(self) -> None:
        try:
            self.actor_inbox.open(self)
        except RuntimeError:
            pykka.ActorRegistry.unregister(self.actor_ref)
            raise
        self._actor_loop_setup()
        if self.actor_stopped.yes:
            self.actor_inbox.schedule_turn()  # to discard what the starter sends

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Learn of a message that came too late to be handled. Runs after the actor stopped."""

    def handle_waiting(self) -> None:
        """Handle what is in the inbox, whose part in the actor this and the following are."""
        inbox = self.actor_inbox
        for _ in range(min(_FAIR_SHARE, len(inbox.waiting))):
            if self.actor_stopped.yes:
                return
            self._handle(inbox.get())

    def fail(self, error: BaseException) -> None:
        """End this actor, and no other, for the exception being handled.

        What is no mere ``Exception`` is raised again, for the event loop knows what it means.
        """
        if not isinstance(error, Exception):
            self._stop()
            raise error
        self._handle_failure(*sys.exc_info())
        try:
            self.on_failure(*sys.exc_info())
        except Exception:  # noqa: BLE001 - the hook may fail like the handler
            self._handle_failure(*sys.exc_info())

    def end(self) -> None:
        """Discard what was not handled; those who asked are told."""
        self.actor_inbox.close()
        late = [each.message for each in self.actor_inbox.waiting if each.reply_to is None]
        self._actor_loop_teardown()
        for message in late:
            self.on_discard(message)

    def _handle(self, envelope: Envelope[Any]) -> None:
        reply = envelope.reply_to
        try:
            response = self._handle_receive(envelope.message)
            if reply is not None:
                reply.set(response)
        except BaseException as error:  # noqa: BLE001 - it goes on, if it is more than a failure
            if reply is not None:
                reply.set_exception()
            if reply is None or not isinstance(error, Exception):
                self.fail(error)

    def _actor_loop(self) -> NoReturn:
        raise RuntimeError("a LoopActor has no loop of its own")
