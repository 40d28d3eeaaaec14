"""The future of Pykka's ``ask``, to be awaited."""

import asyncio
import concurrent.futures
import sys
from collections.abc import Generator
from typing import Any, TypeVar

import pykka

T = TypeVar("T")
_ExcInfo = tuple[Any, Any, Any]


class LoopFuture(pykka.Future[T]):
    """A reply that may be awaited on an event loop, or waited for in another thread."""

    def __init__(self) -> None:
        super().__init__()
        self._reply: concurrent.futures.Future[T] = concurrent.futures.Future()

    def get(self, *, timeout: float | None = None) -> T:
        """Return the reply.

        Args:
            timeout: seconds to wait; None is without end.

        Raises:
            pykka.Timeout: it did not come in time.
            RuntimeError: it is not there, and waiting would block a running event loop.
            Exception: the reply is an exception.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self._reply.done() and timeout != 0 and _on_a_loop():
            raise RuntimeError("this would block the event loop: await the future instead")
        try:
            return self._reply.result(timeout)
        except concurrent.futures.TimeoutError:
            if self._reply.done():
                raise
            raise pykka.Timeout(f"{timeout} seconds") from None

    def set(self, value: T | None = None) -> None:
        """Give the reply.

        Raises:
            RuntimeError: there is a reply, or a get hook, already.
        """
        self._refuse_a_second()
        self._reply.set_result(value)  # type: ignore[arg-type]  # Pykka's own default is None

    def set_exception(self, exc_info: _ExcInfo | None = None) -> None:
        """Give an exception as the reply: this one, or the one being handled.

        Raises:
            RuntimeError: there is a reply, or a get hook, already.
        """
        self._refuse_a_second()
        kind, error, _ = exc_info or sys.exc_info()
        self._reply.set_exception(kind() if error is None and kind is not None else error)

    def set_get_hook(self, func: Any) -> None:  # noqa: ANN401 - Pykka's GetHookFunc is private
        """Let a function make the reply when it is asked for.

        Raises:
            RuntimeError: there is a reply already.
        """
        if self._reply.done():
            raise RuntimeError("this future has its reply already")
        super().set_get_hook(func)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait for the reply on the running event loop."""
        if self._get_hook is None:
            # Shielded: one who waits no more must not cancel the reply, which others may wait for.
            return (yield from asyncio.shield(asyncio.wrap_future(self._reply)).__await__())
        while True:  # a hook asks other futures and can't be awaited itself
            try:
                return self.get(timeout=0)
            except pykka.Timeout:
                yield

    __iter__ = __await__

    def _refuse_a_second(self) -> None:
        if self._reply.done() or self._get_hook is not None:
            raise RuntimeError("this future has its reply already")


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
