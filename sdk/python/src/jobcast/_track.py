"""Iteration over items that counts each one when the next is requested."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sized
from typing import Generic, Self, TypeVar

from jobcast._level import Level

T = TypeVar("T")


def length_of(items: object) -> int | None:
    """Return the number of items; None if they have no length, or don't tell it."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except Exception:  # noqa: BLE001 - too long for `len`, or an array without a length
        return None


class Track(AsyncIterator[T], Generic[T]):
    """Iterates over the items of an iterable or an asynchronous iterable.

    ``begin`` is called before the first item, ``done`` after each and ``end`` after the last.
    ``leave`` removes the loop from the count as soon as this object is dropped, for example by a
    ``break``; an asynchronous generator would only be closed by the event loop.
    """

    def __init__(
        self,
        items: Iterable[T] | AsyncIterable[T],
        begin: Callable[[], Awaitable[Level]],
        done: Callable[[Level], Awaitable[object]],
        end: Callable[[Level], Awaitable[object]],
        leave: Callable[[Level], object],
    ) -> None:
        self._items = items
        self._source: AsyncIterator[T] | None = None
        self._begin, self._done, self._end, self._leave = begin, done, end, leave
        self._level: Level | None = None
        self._is_over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._is_over:
            raise StopAsyncIteration
        try:
            if self._source is None:
                self._source = _asynchronous(self._items)
                self._level = await self._begin()
            elif self._level is not None:
                await self._done(self._level)
            return await anext(self._source)
        except StopAsyncIteration:
            self._is_over = True
            if self._level is not None:
                await self._end(self._level)
            raise
        except BaseException:
            self._is_over = True
            self.__del__()
            raise

    def __del__(self) -> None:
        level, self._level = self._level, None
        if level is not None:
            self._leave(level)


async def _asynchronous(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
