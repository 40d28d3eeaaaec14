"""Pykka actors on an asyncio event loop.

Pykka runs an actor in a thread of its own. A ``LoopActor`` runs on the event loop that it was
started on: the first message into an empty inbox asks for a turn, in which all that waits is
handled. An idle actor has no thread and no task. ``on_receive`` is synchronous, so handling one
message is atomic.

Source: Pykka's ``Actor`` names its extension points ``_create_actor_inbox``, ``_create_future`` and
``_start_actor_loop``; life cycle, failure and registry are its own.
"""

import itertools
import logging
import sys
from typing import Any, Final, NoReturn

import pykka
from pykka._envelope import Envelope

from actors.loop_future import LoopFuture
from actors.turns import Turns

_log = logging.getLogger("pykka")

_numbers = itertools.count(1)

_FAIR_SHARE: Final = 32
"""Messages that one actor handles before others get their turn, and the event loop its own."""


Ref = pykka.ActorRef[Any]


class LoopInbox:
    """An actor's messages, and its turns to handle them.

    What came by Pykka's ``tell`` or ``ask`` is in an ``Envelope``; what came by ``post`` is bare.
    """

    __slots__ = ("_actor", "_asked", "_turns", "_waiting")

    def __init__(self) -> None:
        self._waiting: list[Any] = []
        self._asked = False
        self._actor: LoopActor | None = None
        self._turns: Turns | None = None

    def open(self, actor: "LoopActor") -> None:
        """Begin to deliver to an actor, on the event loop that is running.

        Raises:
            RuntimeError: none is running.
        """
        self._turns = Turns.here()
        self._actor = actor
        self._ask()

    def close(self) -> None:
        """Deliver no more."""
        self._actor = None

    def post(self, message: object) -> None:
        """Add a message that wants no reply, on the event loop's thread; a stopped actor gets none.

        Pykka's ``tell`` does more, and costs more than the handling of most messages.
        """
        if self._actor is not None:
            self._waiting.append(message)
            if not self._asked:
                self._ask()

    def hand(self, message: object) -> None:
        """Have a message handled at once, or after those that wait already.

        Not from within an actor: it would go before what that actor has yet to do.
        """
        if self._waiting:
            self.post(message)
        elif self._actor is not None:
            self._actor.handle(message)

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message; from any thread."""
        self._waiting.append(envelope)
        if not self._asked:
            self._ask()

    def get(self) -> Any:  # noqa: ANN401 - an envelope, or a message that was posted
        """Return the oldest message.

        Raises:
            IndexError: there is none.
        """
        return self._waiting.pop(0)

    def empty(self) -> bool:
        """Say whether nothing waits."""
        return not self._waiting

    def take(self, most: int) -> list[Any]:
        """Return the oldest messages, and forget them."""
        waiting = self._waiting
        if len(waiting) <= most:
            self._waiting = []
            return waiting
        self._waiting = waiting[most:]
        return waiting[:most]

    def put_back(self, messages: list[Any]) -> None:
        """Have messages that were taken wait again."""
        self._waiting = messages + self._waiting

    def take_turn(self) -> None:
        """Have the actor handle what waits."""
        self._asked = False
        if self._actor is not None:
            self._actor.handle_waiting()
        if self._waiting and not self._asked:
            self._ask()

    def _ask(self) -> None:
        if self._turns is not None and self._actor is not None:
            self._asked = True
            self._turns.ask(self)


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


class LoopActor(pykka.Actor):
    """An actor whose messages are handled on the event loop that it was started on."""

    actor_inbox: LoopInbox
    actor_stopped: Any  # a ``Stopped``, which is to Pykka an event
    _began = False

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
    def _create_future() -> LoopFuture[Any]:
        return LoopFuture()

    def _start_actor_loop(self) -> None:
        try:
            self.actor_inbox.open(self)
        except RuntimeError:
            pykka.ActorRegistry.unregister(self.actor_ref)
            raise

    def handle_waiting(self) -> None:
        """Handle what is in the inbox: the event loop's part in the actor, not for callers."""
        stopped = self.actor_stopped
        if not self._began:
            self._begin()
        inbox = self.actor_inbox
        messages = inbox.take(_FAIR_SHARE)
        handled = 0
        try:
            for message in messages:
                if stopped.yes:
                    break
                handled += 1
                self._attend_to(message)
        finally:
            if handled < len(messages):
                inbox.put_back(messages[handled:])
            if stopped.yes:
                self._end()

    def handle(self, message: object) -> None:
        """Handle a message now: the inbox's part in the actor, not for callers."""
        if not self._began:
            self._begin()
            if self.actor_stopped.yes:
                self._end()
                self.on_discard(message)
                return
        try:
            self.on_receive(message)
        except Exception:  # noqa: BLE001 - whatever a handler raises ends this actor only
            self._fail()
        except BaseException as error:
            self._interrupted(error)
            raise
        finally:
            if self.actor_stopped.yes:
                self._end()

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Learn of a message that came too late to be handled. Runs after the actor stopped."""

    def _begin(self) -> None:
        self._began = True
        self._actor_loop_setup()

    def _attend_to(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        reply_to = None
        try:
            if type(message) is Envelope:
                reply_to = message.reply_to
                response = self._handle_receive(message.message)
                if reply_to is not None:
                    reply_to.set(response)
            else:
                self.on_receive(message)
        except Exception:  # noqa: BLE001 - whatever a handler raises ends this actor only
            if reply_to is not None:
                _log.info("Exception returned from %s to caller:", self, exc_info=True)
                reply_to.set_exception()
            else:
                self._fail()
        except BaseException as error:
            if reply_to is not None:
                reply_to.set_exception()
            self._interrupted(error)
            raise

    def _interrupted(self, error: BaseException) -> None:
        """End all actors; the exception goes on, for the event loop knows what it means."""
        _log.debug("%r in %s. Stopping all actors.", error, self)
        self._stop()
        pykka.ActorRegistry.stop_all(block=False)

    def _fail(self) -> None:
        """End this actor, and no other, for the exception being handled."""
        self._handle_failure(*sys.exc_info())
        try:
            self.on_failure(*sys.exc_info())
        except Exception:  # noqa: BLE001 - the hook may fail like the handler
            self._handle_failure(*sys.exc_info())

    def _end(self) -> None:
        inbox = self.actor_inbox
        left = inbox.take(sys.maxsize)
        inbox.put_back([message for message in left if _is_asked(message)])
        self._actor_loop_teardown()
        inbox.close()
        for message in left:
            if not _is_asked(message):
                self.on_discard(message.message if type(message) is Envelope else message)

    def _actor_loop(self) -> NoReturn:
        raise RuntimeError("a LoopActor has no loop of its own")


def tell(ref: Ref, message: object) -> None:
    """Send a message, on the event loop's thread, to an actor that may have stopped."""
    inbox: Any = ref.actor_inbox
    inbox.post(message)


def hand(ref: Ref, message: object) -> None:
    """Have a message handled at once, or after those that wait; not from within an actor."""
    inbox: Any = ref.actor_inbox
    inbox.hand(message)


def _is_asked(message: object) -> bool:
    return type(message) is Envelope and message.reply_to is not None
