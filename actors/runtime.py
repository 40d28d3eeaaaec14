"""Pykka actors on an asyncio event loop.

Pykka runs each actor in a thread. A ``LoopActor`` runs on the event loop on which it was started:
the first message into an empty inbox schedules a turn, which handles the pending messages. An idle
actor has no thread and no task. ``on_receive`` is synchronous, so each message is handled
atomically.

Others reach an actor by its inbox. ``tell`` sends a message from any thread, to be handled in the
actor's turn. ``hand`` has it handled in that very call, on the event loop's thread, unless others
are pending. Pykka's own reference, of 260 bytes, is made when it is asked for.

Source: Pykka's ``Actor`` has the extension points ``_create_actor_inbox``, ``_create_future`` and
``_start_actor_loop``; life cycle, failure and registry are Pykka's.
"""

import asyncio
import sys
from typing import Any, Final, NoReturn, Self

import pykka
from pykka._envelope import Envelope

_FAIR_SHARE: Final = 32
"""Messages that an actor handles in one turn."""


class LoopInbox:
    """An actor's messages, and its turns to handle them.

    Attributes:
        stopped: whether the actor has stopped.
        waiting: pending messages, oldest first.
    """

    __slots__ = ("_actor", "_busy", "_loop", "stopped", "waiting")

    def __init__(self) -> None:
        self.stopped = False
        self.waiting: list[Envelope[Any]] = []
        self._busy = False  # a message is being handled, or a turn is scheduled
        self._actor: LoopActor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self, actor: "LoopActor") -> None:
        """Start delivery to an actor, on the running event loop.

        Raises:
            RuntimeError: there is none.
        """
        self._loop = asyncio.get_running_loop()
        self._actor = actor

    def close(self) -> None:
        """Stop delivery."""
        self._actor = None

    def is_open(self) -> bool:
        """Say whether the actor has yet to stop."""
        return not self.stopped

    def tell(self, message: object) -> None:
        """Send a message, from any thread. A stopped actor ignores it."""
        if not self.stopped:
            self.put(Envelope(message))

    def hand(self, message: object) -> None:
        """Handle a message at once, or after the pending ones; on the event loop's thread.

        A stopped actor ignores it. Pykka's ``tell`` would take longer, by an envelope and a
        callback, than the handling of most messages.
        """
        actor = self._actor
        if self._busy:
            self.put(Envelope(message))
        elif actor is not None:
            self._busy = True
            try:
                actor.on_receive(message)
            except BaseException as error:  # noqa: BLE001 - ``fail`` raises it again if necessary
                actor.fail(error)
            finally:
                self._busy = False
                if self.waiting or self.stopped:
                    self._end_turn(actor)

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message, from any thread."""
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
        """Say whether no message is pending."""
        return not self.waiting

    def schedule_turn(self) -> None:
        """Have the pending messages handled in the next iteration of the event loop."""
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
            self._end_turn(actor)

    def _end_turn(self, actor: "LoopActor") -> None:
        """End a turn: end a stopped actor, or schedule another turn for pending messages."""
        if self.stopped:
            actor.end()
        elif self.waiting and not self._busy:  # another thread may have scheduled it
            self.schedule_turn()


class Stopped:
    """Whether an actor has stopped: replaces Pykka's ``threading.Event``, as nothing waits."""

    __slots__ = ("_inbox",)

    def __init__(self, inbox: LoopInbox) -> None:
        self._inbox = inbox

    def is_set(self) -> bool:
        """Say whether the actor has stopped."""
        return self._inbox.stopped

    def set(self) -> None:
        """Mark the actor as stopped."""
        self._inbox.stopped = True


class Reply(pykka.ThreadingFuture[Any]):
    """The future of Pykka's ``ask``, for threads without an event loop."""

    def get(self, *, timeout: float | None = None) -> Any:  # noqa: ANN401 - a reply is anything
        """Return the reply, as Pykka does.

        Raises:
            RuntimeError: this would block a running event loop.
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
    """An actor that handles its messages on the event loop on which it was started."""

    actor_inbox: LoopInbox
    _actor_ref: Any = None

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:  # noqa: ANN401 - Pykka's signature
        # Pykka's ``__init__`` takes 20 µs and 1.5 KiB, for an event, a random name and a reference:
        # properties here, which others than Pykka itself hardly ever ask for.
        self.actor_inbox = self._create_actor_inbox()

    @classmethod
    def launch(cls, *args: Any) -> Self:  # noqa: ANN401 - those of the actor
        """Start an actor outside of Pykka's registry: a list, searched when an actor stops."""
        actor = cls(*args)
        actor._start_actor_loop()
        return actor

    @property
    def actor_urn(self) -> str:  # type: ignore[override]  # Pykka's is an attribute
        """The actor's name, unique among living ones."""
        return f"urn:jobcast:actor:{id(self):x}"

    @property
    def actor_stopped(self) -> Any:  # type: ignore[override]  # noqa: ANN401 - a ``Stopped``
        """Whether the actor has stopped."""
        return Stopped(self.actor_inbox)

    @property
    def actor_ref(self) -> pykka.ActorRef[Self]:
        """Pykka's reference to the actor, always the same."""
        ref: pykka.ActorRef[Self] = self._actor_ref or pykka.ActorRef(self)
        self._actor_ref = ref
        return ref

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
        if self.actor_inbox.stopped:
            self.actor_inbox.schedule_turn()  # discards the messages that were sent before

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Handle a message that arrived too late; called after the actor has stopped."""

    def handle_waiting(self) -> None:
        """Handle the pending messages of one turn. Called by the inbox, as ``fail`` and ``end``."""
        inbox = self.actor_inbox
        for _ in range(min(_FAIR_SHARE, len(inbox.waiting))):
            if inbox.stopped:
                return
            self._handle(inbox.get())

    def fail(self, error: BaseException) -> None:
        """Stop this actor for the exception being handled.

        One that is no ``Exception``, such as SystemExit, is raised again for the event loop.
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
        """Discard the unhandled messages; Pykka fails those that await a reply."""
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
        except BaseException as error:  # noqa: BLE001 - ``fail`` raises it again if necessary
            if reply is not None:
                reply.set_exception()
            if reply is None or not isinstance(error, Exception):
                self.fail(error)

    def _actor_loop(self) -> NoReturn:
        raise RuntimeError("a LoopActor has no loop of its own")
