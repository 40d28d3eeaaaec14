"""Valkey and the service, started and stopped together."""

import asyncio
import fcntl
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final

from app.dev import valkey
from app.dev.process import HOST, Child, LaunchFailed, listen, port_of, spawn, wait_for
from app.settings import is_setting

HYPERCORN: Final = Path(__file__).with_name("hypercorn.toml")
FIRST_PORT: Final = 8000
PORTS: Final = range(FIRST_PORT, FIRST_PORT + 100)
_PORT: Final = "valkey.port"


def settings_that_are_set(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables without the settings that are blank: these count as unset everywhere."""
    return {
        name: text for name, text in environment.items() if text.strip() or not is_setting(name)
    }


class StopRequested(Exception):
    """Ctrl-C or SIGTERM."""


class Stack:
    """The processes of one launcher: Valkey, the service, and further ones.

    Args:
        data: folder of data and logs, locked by ``locked``.
        lock: file descriptor of that lock.
        ports: candidates for the service's port.

    Attributes:
        environment: environment variables of all processes; ``start`` sets ``REDIS_URL``.
        port: port of the service; 0 before ``start``.
    """

    def __init__(self, data: Path, lock: int, ports: Sequence[int] = PORTS) -> None:
        self.data = data
        self.environment = settings_that_are_set(os.environ)
        self.port = 0
        self._lock = lock
        self._ports = ports
        self._valkey: Child | None = None
        self._clients: list[Child] = []

    @property
    def has_valkey(self) -> bool:
        """Whether Valkey is one of the processes."""
        return self._valkey is not None

    def default(self, variable: str, value: str) -> None:
        """Set a variable if it is unset or empty."""
        self.environment[variable] = self.environment.get(variable) or value

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start Valkey, unless ``REDIS_URL`` is set, and the service; ``ready`` waits for it.

        Args:
            tasks: fails with LaunchFailed when a process ends by itself.

        Raises:
            LaunchFailed: Valkey did not start, or no port is free.
        """
        former = self._former_port()
        # A shell that is set up for a worker has the REDIS_URL that an earlier start printed.
        if self.environment.get("REDIS_URL", "") in {"", *map(_address, former)}:
            with listen([*former, 0]) as probe:
                port = probe.getsockname()[1]
            command = valkey.command(self.data / "valkey", port)
            self._valkey = await spawn(
                "Valkey", command, self.environment, self.data, inherited=[self._lock]
            )
            tasks.create_task(self._valkey.watch())
            await wait_for("Valkey", partial(valkey.answers, port))
            (self.data / _PORT).write_text(str(port))
            self.environment["REDIS_URL"] = _address(port)
        self.default("JOBCAST_NOTICE_S", "0")  # no load balancer polls /readyz
        with listen(self._ports) as listener:
            self.port = listener.getsockname()[1]
            bind = ["--config", str(HYPERCORN), "--bind", f"fd://{listener.fileno()}"]
            command = ["hypercorn", *bind, "app:create_app()"]
            await self.add(tasks, "service", command, inherited=[listener.fileno()])

    async def ready(self) -> None:
        """Wait until the service is ready.

        Raises:
            LaunchFailed: it did not start.
        """
        try:
            await wait_for("service", self._service_is_ready)
        except LaunchFailed as error:
            hint = "" if self.has_valkey else " REDIS_URL is set: does that Redis answer?"
            raise LaunchFailed(f"{error}{hint}") from None

    async def add(
        self,
        tasks: asyncio.TaskGroup,
        name: str,
        module: Sequence[str],
        folder: Path | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start a further process, a Python module that uses Redis; it is stopped before Valkey.

        Args:
            tasks: fails with LaunchFailed when it ends by itself.
            name: its name in messages and of its log file.
            module: name and arguments of the module.
            folder: its working directory; by default that of the launcher.
            inherited: file descriptors that it inherits.
        """
        command = [sys.executable, "-m", *module]
        child = await spawn(
            name, command, self.environment, self.data, folder=folder, inherited=inherited
        )
        self._clients.append(child)
        tasks.create_task(child.watch())

    def request(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request to the service; return status and body. Blocks.

        Raises:
            OSError, HTTPException: there is no response.
        """
        with closing(HTTPConnection(HOST, self.port, timeout=5)) as connection:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.read()

    async def stop(self) -> None:
        """Stop the service and the added processes, then Valkey, which they need to shut down."""
        await asyncio.gather(*(child.stop() for child in self._clients))
        if self._valkey:
            await self._valkey.stop()

    def kept(self, name: str) -> str:
        """Return a random secret, which the data folder keeps under a name for later starts.

        Raises:
            LaunchFailed: its file is unreadable.
        """
        file = self.data / name
        try:
            with suppress(FileNotFoundError):
                if text := file.read_text().strip():
                    return text
            text = secrets.token_urlsafe(32)
            file.touch(mode=0o600)
            file.write_text(text)
        except (OSError, UnicodeDecodeError) as error:
            raise LaunchFailed(f"{file} can't be used ({error})") from error
        return text

    def _former_port(self) -> list[int]:
        """Return the port that Valkey last had, if any, so that workers using it can reconnect."""
        with suppress(OSError, ValueError):
            return [port_of((self.data / _PORT).read_text())]
        return []

    def _service_is_ready(self) -> bool:
        with suppress(OSError, HTTPException):
            return self.request("GET", "/readyz")[0] == HTTPStatus.OK
        return False


def _address(port: int) -> str:
    return f"redis://{HOST}:{port}/0"


Start = Callable[[Stack, asyncio.TaskGroup], Awaitable[None]]


@contextmanager
def _usable(data: Path, variable: str) -> Iterator[None]:
    """Raise LaunchFailed, which names the variable of a folder, if it can't be used."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symlinks
        raise LaunchFailed(f"{variable}: {data} can't be used ({error})") from error


@contextmanager
def locked(data: Path, variable: str, name: str) -> Iterator[int]:
    """Create and lock a data folder.

    Valkey inherits the lock, so that no second one writes the same files, even if the launcher
    crashes.

    Args:
        data: the folder.
        variable: the setting or option that names the folder, for messages.
        name: what the launcher starts, for messages.

    Raises:
        LaunchFailed: it can't be used, or another launcher uses it.
    """
    with _usable(data, variable):
        is_new = not data.exists()
        data.mkdir(parents=True, exist_ok=True)
        if is_new:  # it holds secrets, and may be inside a repository
            (data / ".gitignore").write_text("*\n")
        file = (data / "lock").open("wb")
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchFailed(f"{name} is running already, with its data in {data}.") from None
        yield lock.fileno()


def launch(start: Start, data: Path, variable: str, name: str, port: int | None) -> int:
    """Start a stack, wait for a signal and stop it. If it fails, print why and return 1.

    Args:
        start: starts the stack, watched by tasks, and prints its addresses.
        data: folder of data and logs.
        variable: the setting or option that names the folder, for messages.
        name: what is launched, for messages.
        port: port of the service; None for the first free one from 8000 on.
    """
    try:
        with _usable(data, variable):
            folder = data.resolve()
        with locked(folder, variable, name) as lock:
            stack = Stack(folder, lock, PORTS if port is None else [port])
            return asyncio.run(_run(stack, start))
    except LaunchFailed as error:
        print(error, file=sys.stderr)
        return 1


async def _run(stack: Stack, start: Start) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    code = 0
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_raise_when_set(stop))
            await start(stack, tasks)
    except* StopRequested:
        print("\nStopping …", flush=True)
    except* LaunchFailed as errors:
        print(*errors.exceptions, sep="\n", file=sys.stderr)
        code = 1
    finally:
        await stack.stop()
    return code


async def _raise_when_set(stop: asyncio.Event) -> None:
    await stop.wait()
    raise StopRequested
