"""The bridge as it is deployed, a process of its own, and what publish-only workers do."""

import json
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

from redis.asyncio import Redis

from tests.support.starting import is_up

STOP_SECONDS: Final = 30.0
PATIENCE_SECONDS: Final = 30.0
LEADS: Final = "leading, number"
STANDS_BY: Final = "standing by"
FOLLOWS: Final = "publications: following"
APPENDS: Final = "publications: appending"


class BridgeProcess:
    """One ``python -m jobcast bridge``: ``with BridgeProcess(url, JOBCAST_BRIDGE_OWNER="…")``.

    The block begins once the bridge leads or stands by, and follows what it is to follow; a bridge
    that does not exit with 0 on SIGTERM fails the test that left it.
    """

    def __init__(self, redis_url: str, *, python: str = sys.executable, **settings: str) -> None:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
        self._environment = {
            **inherited,
            "REDIS_URL": redis_url,
            "JOBCAST_BRIDGE_LEASE_S": "2",
            **settings,
        }
        self._python = python
        folder = tempfile.mkdtemp(prefix="jobcast-bridge-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._log = Path(folder) / "bridge.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Return what the process has printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def leads(self) -> bool:
        """Whether it has led."""
        return LEADS in self.log

    def start(self) -> None:
        """Start the process; it need not serve yet."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [self._python, "-m", "jobcast", "bridge"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End the process at once (SIGKILL), as a crash does."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        assert self._process is not None
        return self._process.wait(STOP_SECONDS)

    def wait_for_log(self, *texts: str) -> None:
        """Wait until the process has printed one of these; AssertionError with its log if not."""
        assert self._process is not None

        def has_printed() -> bool:
            return any(text in self.log for text in texts)

        assert is_up(self._process, has_printed, PATIENCE_SECONDS), self.log

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        self.wait_for_log(LEADS, STANDS_BY)
        if "publications" in self.log:
            self.wait_for_log(FOLLOWS)
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


async def publish(redis: Redis, job_id: str, event: str, data: Any, **more: Any) -> None:  # noqa: ANN401 - any JSON
    """Publish as the seed's own worker does: a name and data, and no id."""
    message = json.dumps({"event": event, "data": data, **more}, ensure_ascii=False)
    await redis.publish(f"jobs:{job_id}:events", message)
