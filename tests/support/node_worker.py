"""A Node worker in a separate process, which makes the calls that a test requests."""

import asyncio
import itertools
import json
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from tests.support.npm import SDK, installed, node

_PROGRAMS: Final = SDK / "test" / "worker"


class Threw(Exception):
    """The call has thrown; ``name`` is the error's class."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name


class NodeWorker:
    """Connects to Redis, and makes the calls of one run; the process is killed as its block ends.

    With ``further``, the name of a version of ioredis in package.json, the program passes a client
    of that version to the library, else the URL.
    """

    program: ClassVar = "lone.js"

    def __init__(self, url: str, further: str = "", **settings: Any) -> None:  # noqa: ANN401 - JSON
        self._arguments = (url, json.dumps(settings), *([further] if further else []))
        self._ids = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._process: Process
        self._reading: asyncio.Task[None]

    async def started(self, job_id: str = "j1", **options: Any) -> Self:  # noqa: ANN401 - JSON
        """Create a job and start it."""
        await self.create(job_id, **options)
        await self.call("open", job_id)
        await self.call("start")
        return self

    async def create(self, job_id: str = "j1", **options: Any) -> str:  # noqa: ANN401 - JSON
        """Create a job."""
        given = {"userId": "u1", "jobId": job_id, **options}
        created: str = await self.call("create", "report", given, of="jobs")
        return created

    async def call(self, name: str, *given: Any, of: str = "run") -> Any:  # noqa: ANN401 - JSON
        """Make a call and return its result; raise ``Threw`` if it throws."""
        return await self.begin(name, *given, of=of)

    def begin(self, name: str, *given: Any, of: str = "run") -> asyncio.Future[Any]:  # noqa: ANN401 - JSON
        """Make a call, and return a future of its result."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "of": of, "call": name, "with": given})
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        return answer

    def kill(self) -> None:
        """Kill the process."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def left(self) -> int:
        """Close the process's input, so that it exits; return the exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self._process.wait()

    async def __aenter__(self) -> Self:
        installed()
        self._process = await asyncio.create_subprocess_exec(
            node(), _PROGRAMS / self.program, *self._arguments, stdin=PIPE, stdout=PIPE, cwd=SDK
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            answer = self._answers.pop(said["id"])
            if answer.cancelled():
                continue
            if "threw" in said:
                answer.set_exception(Threw(said["threw"], said["text"]))
            else:
                answer.set_result(said["returned"])
        for answer in self._answers.values():
            answer.cancel()


class BullProject(NodeWorker):
    """A project with BullMQ: a worker, and calls that add jobs to its queue, named ``further``.

    The program has a processor for each name of a job.
    """

    program: ClassVar = "bull.js"
