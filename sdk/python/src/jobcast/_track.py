"""Going through items, each of which is counted when the next one is asked for."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from typing import Generic, Self, TypeVar

from jobcast._level import Level

T = TypeVar("T")


class Track(AsyncIterator[T], Generic[T]):
    """Goes through items of either kind.

    ``begin`` is called before the first item, ``done`` after each and ``end`` after the last.
    ``leave`` takes the loop out of the count; whoever breaks out of the loop drops this object, and
    so does not have to wait for the event loop, as with a generator.
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
