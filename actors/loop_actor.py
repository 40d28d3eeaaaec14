"""Pykka actors on an asyncio event loop.

Pykka runs an actor in a thread of its own. A ``LoopActor`` runs on the event loop that it was
started on: the first message into an empty inbox schedules one callback, which handles all that
waits. An idle actor has no thread and no task. ``on_receive`` is synchronous, so handling one
message is atomic.

Source: Pykka's ``Actor`` names its extension points ``_create_actor_inbox``, ``_create_future`` and
``_start_actor_loop``; life cycle, failure and registry are its own.
"""

import asyncio
import logging
import sys
import threading
from collections import deque
from typing import Any, Final, NoReturn

import pykka
from pykka._envelope import Envelope

from actors.loop_future import LoopFuture

_log = logging.getLogger("pykka")

_FAIR_SHARE: Final = 128
"""Messages that one actor handles before others get their turn."""


class LoopInbox:
    """An actor's messages, and the callback that handles them."""

    __slots__ = ("_actor", "_loop", "_scheduled", "_thread", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Envelope[Any]] = deque()
        self._scheduled = False
        self._actor: LoopActor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def open(self, actor: "LoopActor") -> None:
        """Begin to deliver to an actor, on the event loop that is running.

        Raises:
            RuntimeError: none is running.
        """
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._actor = actor
        self._schedule()

    def close(self) -> None:
        """Deliver no more."""
        self._actor = None

    def put(self, envelope: Envelope[Any], /) -> None:
        """Add a message; from any thread."""
        self._waiting.append(envelope)
        if not self._scheduled:
            self._schedule()

    def get(self) -> Envelope[Any]:
        """Return the oldest message.

        Raises:
            IndexError: there is none.
        """
        return self._waiting.popleft()

    def empty(self) -> bool:
        """Say whether nothing waits."""
        return not self._waiting

    def _schedule(self) -> None:
        if self._loop is None or self._actor is None:
            return
        self._scheduled = True
        if threading.get_ident() == self._thread:
            self._loop.call_soon(self._drain)
        else:
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        if self._actor is not None:
            self._actor.handle_waiting()
        if self._waiting and not self._scheduled:
            self._schedule()


class LoopActor(pykka.Actor):
    """An actor whose messages are handled on the event loop that it was started on."""

    actor_inbox: LoopInbox
    _began = False

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
        if not self._began:
            self._began = True
            self._actor_loop_setup()
        inbox, stopped = self.actor_inbox, self.actor_stopped
        try:
            for _ in range(_FAIR_SHARE):
                if stopped.is_set() or inbox.empty():
                    break
                self._handle(inbox.get())
        finally:
            if stopped.is_set():
                self._end()

    def on_discard(self, message: Any) -> None:  # noqa: ANN401 - a message is anything
        """Learn of a message that came too late to be handled. Runs after the actor stopped."""

    def _handle(self, envelope: Envelope[Any]) -> None:
        reply_to = envelope.reply_to
        try:
            response = self._handle_receive(envelope.message)
        except Exception:  # noqa: BLE001 - whatever a handler raises ends this actor only
            if reply_to is not None:
                _log.info("Exception returned from %s to caller:", self, exc_info=True)
                reply_to.set_exception()
            else:
                self._fail()
        except BaseException as error:
            _log.debug("%r in %s. Stopping all actors.", error, self)
            if reply_to is not None:
                reply_to.set_exception()
            self._stop()
            pykka.ActorRegistry.stop_all(block=False)
            raise  # the event loop knows what an interrupt means
        else:
            if reply_to is not None:
                reply_to.set(response)

    def _fail(self) -> None:
        """End this actor, and no other, for the exception being handled."""
        self._handle_failure(*sys.exc_info())
        try:
            self.on_failure(*sys.exc_info())
        except Exception:  # noqa: BLE001 - the hook may fail like the handler
            self._handle_failure(*sys.exc_info())

    def _end(self) -> None:
        inbox = self.actor_inbox
        late = [envelope.message for envelope in inbox._waiting if envelope.reply_to is None]  # noqa: SLF001
        self._actor_loop_teardown()
        inbox.close()
        for message in late:
            self.on_discard(message)

    def _actor_loop(self) -> NoReturn:
        raise RuntimeError("a LoopActor has no loop of its own")
