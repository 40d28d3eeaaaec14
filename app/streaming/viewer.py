"""One open stream, from its head to its end."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from actors.mailbox import Ending, Mailbox
from app.asgi import Message, Receive, Scope, Send
from app.server.transport import open_outlet
from app.streaming.outlets import Outlet
from eventlog.pace import Arrivals
from schema.sse import KEEPALIVE, PING, Frame, raw_frame, retry

RETRY_MS: Final = (1000, 5000)
"""Range of the random delay before a reconnect, so that viewers don't reconnect all at once."""

COMMENT: Final = raw_frame(KEEPALIVE)
PING_EVENT: Final = raw_frame(PING)
"""The two kinds of keepalive."""

_FINAL_WRITE_S: Final = 5.0
"""Time for a viewer to read the rest of its mailbox when its stream ends."""

Watch = Callable[[Mailbox], AbstractContextManager[None]]


def retry_block(milliseconds: int | None = None) -> bytes:
    """Return a ``retry:`` field; its delay is random if none is given."""
    return retry(milliseconds or random.randint(*RETRY_MS))  # noqa: S311 - spread, not secrecy


class Viewer:
    """One SSE response.

    It ends when the viewer disconnects, the job ends, its time is up (max age, token, drain), or
    its mailbox overflows.

    Args:
        watch: returns a context manager that delivers the job's events to a mailbox.
        lifetime_s: seconds after which the viewer must reconnect.
        mailbox_bytes: maximum of bytes in the mailbox.
        direct: whether to write straight to the transport where possible.
        keepalive: frame to send when the stream was silent for a while.
    """

    __slots__ = (
        *("_direct", "_keepalive", "_lifetime_s", "_mailbox_bytes", "_retry_ms", "_sent_back"),
        *("_waiting", "_watch", "mailbox", "outlet"),
    )

    def __init__(
        self,
        watch: Watch,
        *,
        lifetime_s: float,
        mailbox_bytes: int,
        direct: bool,
        keepalive: Frame = COMMENT,
    ) -> None:
        self._keepalive = keepalive
        self._watch = watch
        self._lifetime_s = lifetime_s
        self._mailbox_bytes = mailbox_bytes
        self._direct = direct
        self._sent_back = False
        self._retry_ms: int | None = None
        self._waiting: asyncio.Task[object] | None = None
        self.mailbox: Mailbox | None = None
        self.outlet: Outlet | None = None

    async def serve(self, scope: Scope, receive: Receive, send: Send, head: Message) -> None:
        """Deliver events until an end; then end the response if the viewer is still connected.

        Args:
            scope: ASGI scope of the request.
            receive: its ASGI ``receive``.
            send: its ASGI ``send``.
            head: the first message of the response.
        """
        outlet = self.outlet = await open_outlet(scope, send, head, direct=self._direct)
        mailbox = self.mailbox = Mailbox(self._mailbox_bytes, outlet.offer, self._schedule_wake)
        try:
            with self._watch(mailbox):
                outlet.attach(mailbox)
                del self._watch  # it refers to the state that was read for the request
                if self._sent_back:
                    mailbox.end(Ending.RETRY)
                if not await self._wait_for_end(receive):
                    return
            mailbox.end(Ending.RETRY)
            try:
                async with asyncio.timeout(_FINAL_WRITE_S):
                    await outlet.drain()
                    await _finish(send, mailbox.ending, self._retry_ms)
            except TimeoutError:
                outlet.abort()
        finally:
            outlet.stop()
            self.mailbox = self.outlet = None  # breaks a cycle that includes the connection

    def keep_alive(self, silent_since: float) -> None:
        """Send a keepalive if nothing was sent since ``silent_since``, by the loop's clock.

        Also detects disconnects that Hypercorn does not report while a pipelined request is
        pending.
        """
        if self.outlet is None or self.mailbox is None:
            return
        if self.outlet.closed:
            self.send_back()
        elif not len(self.mailbox) and self.outlet.wrote_at <= silent_since:
            self.mailbox.put(self._keepalive)

    def send_back(self, retry_ms: int | None = None) -> None:
        """End the stream with ``retry:``, even one that has not begun.

        Args:
            retry_ms: delay before the reconnect; random if None.
        """
        self._sent_back = True
        self._retry_ms = retry_ms
        if self.mailbox is not None:
            self.mailbox.end(Ending.RETRY)

    async def _wait_for_end(self, receive: Receive) -> bool:
        """Wait for an end; return whether the viewer is still connected."""
        task = self._waiting = asyncio.current_task()
        life = asyncio.get_running_loop().call_later(self._lifetime_s, self._schedule_wake)
        try:
            if self.mailbox is not None and self.mailbox.ending is not None:
                return True
            while (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            if self._waiting is not None or task is None or task.uncancel():
                raise  # the server cancelled the task
            return True
        finally:
            self._waiting = None
            life.cancel()
        return False

    def _schedule_wake(self) -> None:
        """Wake the waiting task, at the pace of the loop, as thousands may end together."""
        if self._waiting is not None:
            Arrivals.here().do(self._wake)

    def _wake(self) -> None:
        """Cancel the waiting task, like ``asyncio.timeout``, which takes more memory."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()


async def _finish(send: Send, ending: Ending | None, retry_ms: int | None) -> None:
    if ending is not Ending.FINISHED:
        body = retry_block(retry_ms)
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})
