"""A worker without a queue, in a separate process, for tests that kill or suspend it."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Final

import jobcast
from tests.support.starting import Started

ROOT: Final = Path(__file__).parents[2]
_RUNNING: Final = "running"


class LoneWorker(Started):
    """Starts one job, and then reports its progress once for each call of ``report``.

    The block begins once the job was started; at its end the process is killed.
    """

    def __init__(self, redis_url: str, job_id: str, lease_s: float | None) -> None:
        self._arguments = [redis_url, job_id, str(lease_s or "")]
        self._process: subprocess.Popen[str] | None = None

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._running().send_signal(number)

    def report(self) -> str:
        """Make it report progress; return the entry's id, or the name and text of an error."""
        process = self._running()
        _pipe(process.stdin).write("report\n")
        _pipe(process.stdin).flush()
        return _pipe(process.stdout).readline().strip()

    def start(self) -> None:
        """Start the process, and wait until it has started the job."""
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.support.lone_worker", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert _pipe(self._process.stdout).readline().strip() == _RUNNING

    def close(self) -> None:
        """Kill the process."""
        with self._running() as process:
            process.kill()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


async def _work(redis_url: str, job_id: str, lease_s: str) -> None:
    async with jobcast.connect(
        redis_url, lease_s=float(lease_s) if lease_s else None, progress_per_s=None
    ) as jobs:
        run = jobs.run(job_id)
        await run.start()
        _say(_RUNNING)
        while await asyncio.to_thread(sys.stdin.readline):
            try:
                _say(await run.progress(50))
            except jobcast.JobcastError as refusal:
                _say(f"{type(refusal).__name__}: {refusal}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
