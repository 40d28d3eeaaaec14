"""``python -m demo`` starts Valkey, the service, a worker and a first job.

Data and logs are kept in the project's folder ``.demo``, or in ``JOBCAST_DEMO_DATA``, so jobs
survive a restart of the demo. If ``REDIS_URL`` is set, that Redis is used instead of Valkey.
``JOBCAST_DEMO_PORT`` sets the port of the page.
"""

import asyncio
import json
import os
import sys
import sysconfig
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Final

from app.dev.process import HOST, LaunchFailed, port_of
from app.dev.stack import Stack, launch

PROJECT: Final = Path(__file__).resolve().parents[1]
DATA_VARIABLE: Final = "JOBCAST_DEMO_DATA"
PORT_VARIABLE: Final = "JOBCAST_DEMO_PORT"


async def _start(stack: Stack, tasks: asyncio.TaskGroup) -> None:
    """Start all processes, create a job, and print the URLs of its page and stream."""
    environment = stack.environment
    for variable in (DATA_VARIABLE, PORT_VARIABLE):
        environment.pop(variable, None)
    if not environment.get("JWT_SECRET"):
        environment["JOBCAST_DEMO"] = "1"
    # Real files that don't change, and take some seconds to hash.
    stack.default("JOBCAST_FILES_ROOT", sysconfig.get_path("purelib"))
    await stack.start(tasks)
    await stack.add(tasks, "worker", ["worker", "demo.checksum"], PROJECT)
    await stack.ready()
    session = stack.kept("session")
    job_id, stream = await asyncio.to_thread(_create_job, stack, session)
    url = f"http://{HOST}:{stack.port}"
    data = stack.data if stack.has_valkey else "in the Redis of REDIS_URL"
    # The session is in the fragment: browsers don't send that, so no server logs it.
    print(f"\n  Page    {url}/#job={job_id}&session={session}")
    print(f"  Stream  curl -N -H 'x-session-id: {session}' {url}{stream}")
    print(f"  Data    {data}\n  Logs    {stack.data}/*.log\n\nCtrl-C stops it.", flush=True)


def _create_job(stack: Stack, session: str) -> tuple[str, str]:
    """Create a job; return its id and the path of its stream."""
    # A slow algorithm, so that there is progress to watch.
    body = json.dumps({"type": "checksum", "input": {"folder": ".", "algorithm": "sha3_512"}})
    headers = {"content-type": "application/json", "x-session-id": session}
    try:
        status, answer = stack.request("POST", "/api/v1/jobs", body, headers)
    except (OSError, HTTPException) as error:
        raise LaunchFailed(f"The service did not take a job: {error!r}") from error
    if status != HTTPStatus.CREATED:
        raise LaunchFailed(f"The service did not take a job: {status} {answer.decode()}")
    created = json.loads(answer)
    return created["jobId"], created["streamUrl"]


def _port() -> int | None:
    text = os.environ.get(PORT_VARIABLE, "").strip()
    try:
        return port_of(text) if text else None
    except ValueError as error:
        raise LaunchFailed(f"{PORT_VARIABLE}: {error}") from None


def main() -> int:
    """Run the demo until a signal; return 1 if it failed."""
    data = Path(os.environ.get(DATA_VARIABLE, "").strip() or PROJECT / ".demo")
    try:
        return launch(_start, data, DATA_VARIABLE, "A demo", _port())
    except LaunchFailed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
