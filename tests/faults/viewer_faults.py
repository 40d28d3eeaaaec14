"""Viewers misbehave: they read slowly or not at all, vanish, or come all at once."""

import asyncio

import httpx

from tests.faults.fault import Fault
from tests.support.waiting import eventually

_BULKY = 60_000
_PATIENCE_S = 40.0
"""Other faults may leave streams behind as well, and keep a service from being asked."""


class _OfNarrow(Fault):
    target = "narrow way"
    seconds = 5.0
    mixed_seconds = 2.5
    note_bytes = _BULKY
    pages = 2
    settings = {"JOBCAST_MAILBOX_BYTES": "65536"}  # noqa: RUF012 - as declared

    async def heal(self) -> None:
        self.world.narrow.mend()


class Stalled(_OfNarrow):
    name = "viewer-stalled"
    what = "Viewers stop reading, among others who read"

    async def strike(self) -> None:
        self.world.narrow.mute()


class OneByte(_OfNarrow):
    name = "viewer-one-byte"
    what = "Viewers read one byte a second, among others who read all"

    async def strike(self) -> None:
        self.world.narrow.bytes_per_s = 1


class Vanished(_OfNarrow):
    name = "viewer-vanished"
    what = "Viewers vanish without a FIN, among others who stay"
    note_bytes = 0
    seconds = mixed_seconds = 1.0
    settings = {"JOBCAST_STREAM_MAX_AGE_S": "4"}  # noqa: RUF012 - as declared

    async def strike(self) -> None:
        self.world.narrow.mute()
        await asyncio.gather(*(page.leave() for page in self.world.narrow_pages))

    async def heal(self) -> None:
        """Wait until the services have let go of those who will never say that they went."""

        async def let_go() -> bool:
            try:
                counted = [await service.metrics() for service in self.world.services]
            except (httpx.HTTPError, KeyError):
                return False  # another fault has struck a service
            open_streams = sum(each["jobcast_streams"] for each in counted)
            return open_streams <= sum(not page.history.gone for page in self.world.pages)

        await eventually(let_go, _PATIENCE_S)


class Storm(Fault):
    name = "viewers-storm"
    what = "All viewers of a hundred lose their connection, three times in a row"
    target = "way to viewers"
    seconds = 0.0
    pages = 50

    async def strike(self) -> None:
        for _ in range(3):
            for page in self.world.pages:
                page.interrupt()
            await asyncio.sleep(self.chance.uniform(0.2, 1))
