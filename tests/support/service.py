"""The service as it is deployed: a server in a separate process, on a free port."""

import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx
import jwt

from tests.support.certificate import Certificate
from tests.support.module_process import start_module
from tests.support.starting import Process, is_up
from tests.support.valkey import HOST, free_port, listens

SECRET: Final = "a secret of the tests, of enough bytes"
SESSION: Final = "session-1"
STARTUP_SECONDS: Final = 20.0
STOP_SECONDS: Final = 30.0
_LISTENS: Final = "0A"
_CLOSED: Final = "0"  # inode of a socket that no process has open
Way = Literal["direct", "asgi", "uvicorn"]
"""How frames reach a viewer: Hypercorn's transport, its ASGI ``send``, or another server's."""
WAYS: Final[tuple[Way, ...]] = ("direct", "asgi", "uvicorn")

_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Saves each client without TLS the 60 ms of loading trusted certificates."""


def token(user: str = "user-1", **claims: Any) -> str:  # noqa: ANN401 - a claim is any JSON
    """Return a token that the tests' services accept; claims that are None are left out."""
    given = {"userId": user, "exp": int(time.time()) + 3600, **claims}
    return jwt.encode({k: v for k, v in given.items() if v is not None}, SECRET, "HS256")


class Service:
    """One service process: ``with Service(url, JOBCAST_KEEPALIVE_S="1") as service``.

    The test fails at the end of the block if the process does not exit with 0 on SIGTERM.

    Args:
        redis_url: URL of its Redis.
        way: how frames reach a viewer.
        certificate: certificate for TLS, over which it also offers HTTP/2; none for plain HTTP.
        application: module and function that create the application.
        root_path: prefix below which it is mounted.
        under: a program that runs another, with its arguments.
        options: further options of the server.
        settings: environment variables.
    """

    def __init__(  # noqa: PLR0913 - the ways to start it
        self,
        redis_url: str,
        *,
        way: Way = "direct",
        certificate: Certificate | None = None,
        application: str = "app:create_app",
        root_path: str = "",
        under: Sequence[str] = (),
        options: Sequence[str] = (),
        **settings: str,
    ) -> None:
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://{HOST}:{self.port}"
        self._verify = certificate.client_context() if certificate else _NO_TLS
        folder = tempfile.mkdtemp(prefix="jobcast-service-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._log = Path(folder) / "service.log"
        server = _uvicorn if way == "uvicorn" else _hypercorn
        mounted = ["--root-path", root_path] if root_path else []
        self.arguments = [*server(self.port, certificate, application), *mounted, *options]
        self._under = under
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
        self.environment = {
            **inherited,
            "REDIS_URL": redis_url,
            "JWT_SECRET": SECRET,
            "JOBCAST_NOTICE_S": "0",
            **({"JOBCAST_DIRECT_WRITE": "0"} if way == "asgi" else {}),
            **settings,
        }
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        return self._running().pid

    @property
    def log(self) -> str:
        """Return the output of the process so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start the process and wait until it responds; raise RuntimeError with its log if not."""
        self._process = start_module(
            self.arguments, environment=self.environment, log=self._log, under=self._under
        )
        if not is_up(self._process, self._answers, STARTUP_SECONDS):
            self.kill()
            raise RuntimeError(f"the service did not start: {self.log}")

    def stop(self) -> int:
        """Stop the process gracefully (SIGTERM) and return its exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        self._process = None
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    @property
    def runs(self) -> bool:
        """Whether the process was started, and not stopped, killed or waited for since."""
        return self._process is not None

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        code = self._running().wait(STOP_SECONDS)
        self._process = None
        return code

    def kill(self) -> None:
        """Kill the process (SIGKILL), like a crash."""
        process = self._running()
        process.kill()
        process.wait()
        self._process = None

    def client(self, session: str | None = SESSION, **options: Any) -> httpx.AsyncClient:  # noqa: ANN401
        """Return an HTTP client of this service that acts for a session."""
        headers = {} if session is None else {"x-session-id": session}
        given = {"timeout": 10, "verify": self._verify, **options}
        return httpx.AsyncClient(base_url=self.url, headers=headers, **given)

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._running().send_signal(number)

    async def metrics(self) -> dict[str, float]:
        """Return the current metrics of the process, by name."""
        async with self.client(None) as client:
            answer = await client.get("/metrics", headers={"Connection": "close"})
        lines = answer.text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def open_files(self) -> int:
        """Count the files and sockets that the process has open."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir())

    def connections(self) -> int:
        """Count the client connections that the process has not closed."""
        table = Path("/proc/net/tcp").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        ours = [row for row in rows if row[1].endswith(f":{self.port:04X}")]
        return sum(row[3] != _LISTENS and row[9] != _CLOSED for row in ours)

    def resident_bytes(self) -> int:
        """Return the resident memory of the process."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is None:
            return
        if self._process.poll() is not None:
            raise RuntimeError(f"the service died: {self.log}")
        code = self.stop()
        if code != 0 and error is None:
            raise RuntimeError(f"the service exited with {code}: {self.log}")

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("this service is not running")
        return self._process

    def _answers(self) -> bool:
        if not listens(self.port):
            return False
        try:
            answer = httpx.get(f"{self.url}/healthz", timeout=1, verify=self._verify)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200


def _hypercorn(port: int, certificate: Certificate | None, application: str) -> list[str]:
    tls = ("--certfile", certificate.path, "--keyfile", certificate.path) if certificate else ()
    settings = ("--config", "hypercorn.toml", "--bind", f"{HOST}:{port}")
    return ["hypercorn", *settings, *map(str, tls), f"{application}()"]


def _uvicorn(port: int, certificate: Certificate | None, application: str) -> list[str]:
    # Only h11 is a dependency of the tests; httptools would also chunk HTTP/1.0 responses.
    tls = ("--ssl-certfile", certificate.path) if certificate else ()
    settings = ("--host", HOST, "--port", str(port), "--http", "h11", "--no-server-header")
    bounds = ("--timeout-graceful-shutdown", "15", "--timeout-keep-alive", "75")
    options = (*settings, *bounds, "--no-access-log", *map(str, tls))
    return ["uvicorn", "--factory", *options, "app:create_app"]
