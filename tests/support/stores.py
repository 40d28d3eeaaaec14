"""Where the library can run: with Redis, or with the in-memory jobs of ``jobcast.testing``.

Both offer tests the same: the log, the state, publications, and the actions of owner and service.
"""

import json
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Protocol, Self

from redis.asyncio import Redis

import jobcast
import jobcast.sync
from jobcast.testing import Memory
from tests.support import stored
from tests.support.channel import Channel

JOB = "j1"

Log = list[tuple[str, dict[str, str]]]


class Published(Protocol):
    """The publications of a job during a block."""

    async def rest(self) -> list[Any]:
        """Return those that were not returned before."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Store(ABC):
    """Where jobs are stored."""

    @abstractmethod
    def connect(self, **settings: Any) -> jobcast.Jobs:  # noqa: ANN401 - those of `connect`
        """Return the asynchronous library."""

    @abstractmethod
    def connect_sync(self, **settings: Any) -> jobcast.sync.Jobs:  # noqa: ANN401 - the same
        """Return the blocking library."""

    @abstractmethod
    async def state(self, job_id: str = JOB) -> dict[str, str]:
        """Return the fields of a job's state."""

    @abstractmethod
    async def log(self, job_id: str = JOB) -> Log:
        """Return the id and the fields of each entry in a job's log."""

    @abstractmethod
    def published(self, job_id: str = JOB) -> Published:
        """Follow the publications of a job."""

    @abstractmethod
    async def cancel(self, job_id: str = JOB) -> None:
        """Cancel a job, as its owner."""

    @abstractmethod
    async def retry(self, job_id: str = JOB) -> None:
        """Retry a failed job, as its owner."""

    @abstractmethod
    async def stall(self, job_id: str = JOB) -> None:
        """Fail the run of a job, as the service does when its lease has expired."""

    async def ending(self, job_id: str = JOB) -> tuple[str | None, ...]:
        """Return a job's status, result (JSON), error and error code."""
        state = await self.state(job_id)
        return tuple(map(state.get, ("status", "result", "error", "errorCode")))

    async def events(self, job_id: str = JOB) -> list[tuple[str, Any]]:
        """Return the name and data of each entry that viewers get."""
        entries = [fields for _, fields in await self.log(job_id)]
        named = [each for each in entries if not each["event"].startswith("_")]
        return [(each["event"], json.loads(each["data"])) for each in named]


class InRedis(Store):
    """Jobs in Redis."""

    def __init__(self, url: str, redis: Redis) -> None:
        self._url = url
        self._redis = redis

    def connect(self, **settings: Any) -> jobcast.Jobs:  # noqa: ANN401 - those of `connect`
        return jobcast.connect(self._url, **settings)

    def connect_sync(self, **settings: Any) -> jobcast.sync.Jobs:  # noqa: ANN401 - the same
        return jobcast.sync.connect(self._url, **settings)

    async def state(self, job_id: str = JOB) -> dict[str, str]:
        return await stored.state_of(self._redis, job_id)

    async def log(self, job_id: str = JOB) -> Log:
        return await stored.log_of(self._redis, job_id)

    def published(self, job_id: str = JOB) -> Published:
        return Channel(self._redis, f"jobs:{job_id}:events")

    async def cancel(self, job_id: str = JOB) -> None:
        await stored.cancel(self._redis, job_id)

    async def retry(self, job_id: str = JOB) -> None:
        await stored.retry(self._redis, job_id)

    async def stall(self, job_id: str = JOB) -> None:
        if (await self.state(job_id))["status"] == "running":
            await self._redis.hset(f"jobs:{{{job_id}}}:state", "lease", "1")
        fields = {"error": "The worker was lost", "errorCode": "STALLED"}
        await stored.append(self._redis, job_id, "stall", json.dumps(fields), fields)


class InMemory(Store):
    """Jobs in memory."""

    def __init__(self) -> None:
        self.memory = Memory()

    def connect(self, **settings: Any) -> jobcast.Jobs:  # noqa: ANN401 - those of `connect`
        return self.memory.connect(**{"progress_per_s": jobcast._pace.PROGRESS_PER_S, **settings})

    def connect_sync(self, **settings: Any) -> jobcast.sync.Jobs:  # noqa: ANN401 - the same
        return self.memory.connect_sync(
            **{"progress_per_s": jobcast._pace.PROGRESS_PER_S, **settings}
        )

    async def state(self, job_id: str = JOB) -> dict[str, str]:
        return self.memory.state(job_id)

    async def log(self, job_id: str = JOB) -> Log:
        log = self.memory._jobs[job_id].log
        return [(entry_id, {"event": name, "data": data}) for entry_id, name, data in log]

    def published(self, job_id: str = JOB) -> Published:
        return _NewEvents(self.memory, job_id)

    async def cancel(self, job_id: str = JOB) -> None:
        self.memory.cancel(job_id)

    async def retry(self, job_id: str = JOB) -> None:
        self.memory.retry(job_id)

    async def stall(self, job_id: str = JOB) -> None:
        self.memory.stall(job_id)


class _NewEvents:
    """The events of a job in memory since the beginning of a block."""

    def __init__(self, memory: Memory, job_id: str) -> None:
        self._memory = memory
        self._job_id = job_id
        self._seen = 0

    async def rest(self) -> list[Any]:
        events = self._memory.events(self._job_id)
        new, self._seen = events[self._seen :], len(events)
        return [{"event": name, "data": data} for name, data in new]

    async def __aenter__(self) -> Self:
        await self.rest()
        return self

    async def __aexit__(self, *_: object) -> None: ...
