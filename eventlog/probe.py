"""Finds out whether Redis answers, and whether it lets us publish."""

import asyncio
import logging
from typing import Final

from redis.exceptions import ResponseError

from eventlog.connection import COMMAND_TIMEOUT_S, Client, available
from eventlog.errors import LogUnavailable
from eventlog.topology import topology_of

_log = logging.getLogger("jobcast.probe")

_PAUSE_S: Final = 1.0
_NOBODYS: Final = "."


class Probe:
    """Asks Redis how it is."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pubsub = topology_of(client).pubsub
        self.may_publish: bool | None = None

    async def answers(self) -> bool:
        """Say whether Redis answers."""
        try:
            async with available():
                await self._client.ping()
        except LogUnavailable:
            return False
        return True

    async def run(self) -> None:
        """Publish nothing to nobody once, and complain if that is refused (an ACL)."""
        while self.may_publish is None:
            try:
                async with asyncio.timeout(COMMAND_TIMEOUT_S):
                    channel = self._pubsub.channel(_NOBODYS)
                    await self._client.execute_command(self._pubsub.publish, channel, b"")
            except ResponseError as error:
                if "NOPERM" not in repr(error) and "permission" not in str(error):
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self.may_publish = False
                _log.error("this Redis user may not publish on jobs:*:events: %s", error)
            except Exception as error:  # noqa: BLE001 - whatever keeps Redis away, ask again
                _log.info("redis can't be probed: %s", error)
                await asyncio.sleep(_PAUSE_S)
            else:
                self.may_publish = True
