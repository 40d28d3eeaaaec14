"""The worker as it is deployed, a process of its own, and what puts jobs into its queue."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from bullmq import Queue
from redis.asyncio import Redis

from tests.support.starting import is_up

ROOT: Final = Path(__file__).parents[2]
STOP_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 20.0


class WorkerProcess:
    """One ``python -m worker`` on a Redis: ``with WorkerProcess(url, JOBCAST_GRACE_S="1")``.

    The block begins once the worker serves its queue; a worker that does not exit with 0 on
    SIGTERM fails the test that left it.
    """

    def __init__(self, redis_url: str, **settings: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
        self._environment = {**inherited, "REDIS_URL": redis_url, **settings}
        folder = tempfile.mkdtemp(prefix="jobcast-worker-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._log = Path(folder) / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return what the process has printed so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the process; it need not serve yet."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "worker", "demo.checksum"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)

    def wait_for_log(self, text: str) -> None:
        """Wait until the process has printed this; AssertionError with its log if it doesn't."""
        assert self._process is not None
        assert is_up(self._process, lambda: text in self.log, PATIENCE_SECONDS), self.log

    def __enter__(self) -> Self:
        self.start()
        self.wait_for_log("serving the queue")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if error is None:
            assert code in (0, -signal.SIGKILL), self.log


async def enqueue(redis: Redis, job_id: str, attempt: int = 1, *, queue: str = "jobcast") -> None:
    """Put an attempt of a job into the queue, as the service does."""
    await enqueue_data(redis, {"jobId": job_id, "attempt": attempt}, queue=queue)


async def enqueue_data(redis: Redis, data: Any, *, queue: str = "jobcast") -> None:  # noqa: ANN401
    """Put any data into the queue."""
    options: Any = {"connection": redis}
    entry: Any = {}
    await Queue(queue, options).add("any", data, entry)
