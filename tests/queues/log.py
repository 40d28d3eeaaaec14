"""What became of the jobs of a queue, as Redis has it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

from redis import Redis

from jobcast.protocol.append import STALLED, with_script
from jobcast.protocol.names import log_key, state_key
from tests.support.waiting import until

CANCELLED = ("failed", {"error": "Cancelled", "errorCode": None})


class Log:
    """The jobs of one Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def state(self, job_id: str) -> dict[str, str]:
        """Return a job's state."""
        return cast("dict[str, str]", self._redis.hgetall(state_key(job_id)))

    def events(self, job_id: str) -> list[tuple[str, dict[str, Any]]]:
        """Return names and data of a job's entries."""
        entries: Any = self._redis.xrange(log_key(job_id))
        return [(fields["event"], json.loads(fields["data"])) for _, fields in entries]

    def names(self, job_id: str) -> list[str]:
        """Return the names of a job's entries."""
        return [name for name, _ in self.events(job_id)]

    def progress(self, job_id: str) -> list[int]:
        """Return the percentages that a job's viewers were told."""
        return [data["progress"] for name, data in self.events(job_id) if name == "progress-update"]

    async def until(self, job_id: str, what: Callable[[dict[str, str]], object]) -> None:
        """Wait until this is true of a job's state."""
        await until(lambda: bool(what(self.state(job_id))), what=f"{job_id}: {what}")

    async def ended(self, job_id: str) -> dict[str, str]:
        """Wait for the end of a job, and return its state."""
        await self.until(job_id, lambda state: state.get("status") in {"succeeded", "failed"})
        return self.state(job_id)

    async def runs_out(self, job_id: str) -> None:
        """Fail the job as the service does, once the lease of its run has run out."""
        command = STALLED.command("PUBLISH", (log_key(job_id), state_key(job_id)), None, "")
        for _ in self._looks():
            try:
                self._redis.execute_command(*with_script(command))
            except Exception as error:
                if "LEASED" not in str(error):
                    raise
                await asyncio.sleep(0.05)
            else:
                return

    @staticmethod
    def _looks() -> Iterator[int]:
        return iter(range(1000))
