"""A plain subscriber of one channel, which gets the messages as Redis delivers them."""

import json
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis

from tests.support.waiting import PATIENCE_SECONDS


class Channel:
    """Subscribes to a channel for the length of its block."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._name = name
        self._pubsub = redis.pubsub()

    async def next(self) -> Any:  # noqa: ANN401 - whatever JSON was published
        """Return the next publication, decoded; raise AssertionError if none arrives."""
        message = await self._pubsub.get_message(
            ignore_subscribe_messages=True, timeout=PATIENCE_SECONDS
        )
        assert message is not None, f"nothing was published on {self._name}"
        return json.loads(message["data"])

    async def until(self, *events: str) -> list[Any]:
        """Return the publications up to and including the first of one of these events."""
        publications = [await self.next()]
        while publications[-1]["event"] not in events:
            publications.append(await self.next())
        return publications

    async def rest(self) -> list[Any]:
        """Return all publications up to now: those before a mark that this method publishes."""
        await self._redis.publish(self._name, '"mark"')
        publications = []
        while (publication := await self.next()) != "mark":
            publications.append(publication)
        return publications

    async def __aenter__(self) -> Self:
        await self._pubsub.subscribe(self._name)
        confirmation = await self._pubsub.get_message(timeout=PATIENCE_SECONDS)
        assert confirmation is not None
        assert confirmation["type"] == "subscribe"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pubsub.aclose()  # type: ignore[no-untyped-call]
