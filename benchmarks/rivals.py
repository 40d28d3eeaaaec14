"""What Jobcast is measured against, each where it is installed."""

import getpass
import os
import resource
import shutil
import subprocess
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from benchmarks.native import compiled, compiler_missing
from benchmarks.processes import HOST, SERVER_CORE, Process
from benchmarks.servers import (
    Server,
    environment,
    get,
    granian,
    hypercorn,
    jobcast,
    stream_request,
    uvicorn,
)
from benchmarks.wire import FloorLine, NchanPost, RawPublish

_HERE: Final = Path(__file__).parent / "peers"
_EXPRESS: Final = _HERE / "express"
_NCHAN_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_INSTALL_S: Final = 300


def _session_request(job_id: str) -> bytes:
    return get(f"/api/v1/jobs/{job_id}/stream?sessionId=session-{job_id}")


def _lacks(*modules: str) -> str | None:
    absent = [name for name in modules if find_spec(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else None


def _nchan(redis_port: int, *, by_redis: bool = False) -> Process:
    address = f"redis://{HOST}:{redis_port}"
    values = {
        "module": str(_NCHAN_MODULE),
        "files": str(resource.getrlimit(resource.RLIMIT_NOFILE)[0]),
        "user": f"user {getpass.getuser()};" if os.geteuid() == 0 else "",
        "upstream": f"upstream redis {{ nchan_redis_server {address}; }}" if by_redis else "",
        "storage": "nchan_redis_pass redis;" if by_redis else "",
    }
    text = (_HERE / "nchan.conf").read_text()
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    command = ["nginx", "-p", "{folder}", "-e", "stderr", "-c", "{folder}/nginx.conf"]
    return Process(command, SERVER_CORE, files={"nginx.conf": text})


def _nchan_missing() -> str | None:
    if shutil.which("nginx") is None or not _NCHAN_MODULE.exists():
        return "not installed: nginx with libnginx-mod-nchan"
    return None


def _express(program: str, redis_port: int) -> Process:
    variables = {**environment(redis_port), "PORT": "{port}", "NODE_ENV": "production"}
    return Process(["node", str(_EXPRESS / program)], SERVER_CORE, variables)


@cache
def _express_missing() -> str | None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "not installed: node and npm"
    if (_EXPRESS / "node_modules" / "ioredis").is_dir():
        return None
    command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    try:
        done = subprocess.run(
            command, cwd=_EXPRESS, capture_output=True, timeout=_INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        return "npm install took too long"
    return "npm install failed" if done.returncode else None


def _starlette(redis_port: int) -> Process:
    return uvicorn("benchmarks.peers.starlette_app:app", **environment(redis_port))


def _jobcast_uvicorn(redis_port: int) -> Process:
    return uvicorn("app:create_app", "--factory", **environment(redis_port))


def _jobcast_granian(redis_port: int) -> Process:
    return granian("app:create_app", "--factory", **environment(redis_port))


def _jobcast_asgi(redis_port: int) -> Process:
    return jobcast(redis_port, JOBCAST_DIRECT_WRITE="0")


def _bare(redis_port: int) -> Process:  # noqa: ARG001 - it needs no Redis
    return hypercorn("benchmarks.peers.bare:app")


def _floor(redis_port: int) -> Process:  # noqa: ARG001 - it needs no Redis
    return Process([compiled("peers/floor.c"), "{port}"], SERVER_CORE)


NCHAN: Final = Server(
    name="nginx + nchan",
    start=_nchan,
    request=lambda job_id: get(f"/stream/{job_id}", "Accept: text/event-stream\r\n"),
    ready_mark=b": hi",
    wire=lambda _: NchanPost(),
    by_redis=False,
    missing=_nchan_missing,
)
NCHAN_REDIS: Final = replace(
    NCHAN, name="nginx + nchan by Redis", start=partial(_nchan, by_redis=True)
)
EXPRESS: Final = Server(
    name="Express + ioredis",
    start=partial(_express, "plain.js"),
    request=_session_request,
    ready_mark=b"event: connected",
    wire=lambda _: RawPublish(),
    missing=_express_missing,
)
EXPRESS_ONCE: Final = replace(
    EXPRESS, name="Express, encoding once", start=partial(_express, "once.js")
)
STARLETTE: Final = Server(
    name="Starlette + sse-starlette",
    start=_starlette,
    request=_session_request,
    ready_mark=b"event: connected",
    wire=lambda _: RawPublish(),
    missing=lambda: _lacks("starlette", "sse_starlette", "uvicorn"),
)
JOBCAST_UVICORN: Final = Server(
    name="Jobcast on Uvicorn",
    start=_jobcast_uvicorn,
    request=stream_request,
    ready_mark=b"progress-update",
    missing=lambda: _lacks("uvicorn"),
)
JOBCAST_GRANIAN: Final = Server(
    name="Jobcast on Granian",
    start=_jobcast_granian,
    request=stream_request,
    ready_mark=b"progress-update",
    missing=lambda: _lacks("granian"),
)
JOBCAST_ASGI: Final = Server(
    name="Jobcast, DIRECT_WRITE=0",
    start=_jobcast_asgi,
    request=stream_request,
    ready_mark=b"progress-update",
)
FLOOR: Final = Server(
    name="floor: send() in C",
    start=_floor,
    request=lambda job_id: get(f"/{job_id}"),
    ready_mark=b": ok",
    wire=lambda _: FloorLine(),
    by_redis=False,
    missing=compiler_missing,
)
BARE: Final = Server(
    name="bare ASGI on Hypercorn",
    start=_bare,
    request=lambda job_id: get(f"/{job_id}"),
    ready_mark=b"progress-update",
    by_redis=False,
)
