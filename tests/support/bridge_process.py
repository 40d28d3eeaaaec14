"""The bridge as it is deployed, in a separate process, and the publications of its workers."""

import json
import signal
from typing import Any, Final, Self

from redis.asyncio import Redis

from tests.support.logged_process import LoggedProcess

LEADS: Final = "leading, number"
STANDS_BY: Final = "standing by"
FOLLOWS: Final = "publications: following"
APPENDS: Final = "publications: appending"


class BridgeProcess(LoggedProcess):
    """One ``python -m jobcast bridge``: ``with BridgeProcess(url, JOBCAST_BRIDGE_OWNER="…")``.

    The block begins once the bridge leads or stands by, and follows publications if it is to.
    """

    patience_s = 30.0

    def __init__(self, redis_url: str, **settings: str) -> None:
        given = {"JOBCAST_BRIDGE_LEASE_S": "2", **settings}
        super().__init__("bridge", ["jobcast", "bridge"], redis_url, **given)

    @property
    def leads(self) -> bool:
        """Whether it leads or has led."""
        return LEADS in self.log

    def kill(self) -> None:
        """Kill the process (SIGKILL), like a crash."""
        self.send(signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        self.wait_for_log(LEADS, STANDS_BY)
        if "publications" in self.log:
            self.wait_for_log(FOLLOWS)
        return self


async def publish(redis: Redis, job_id: str, event: str, data: Any, **more: Any) -> None:  # noqa: ANN401 - any JSON
    """Publish like a publish-only worker: a name and data, and no id."""
    message = json.dumps({"event": event, "data": data, **more}, ensure_ascii=False)
    await redis.publish(f"jobs:{job_id}:events", message)
