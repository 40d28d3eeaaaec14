"""Child processes of the launcher, and their log files."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobcast._settings import parse_whole

HOST: Final = "127.0.0.1"
START_S: Final = 30.0
STOP_S: Final = 15.0  # longer than the service's grace (JOBCAST_GRACE_S)
POLL_S: Final = 0.1

_LAST_PORT: Final = 65535


class LaunchFailed(Exception):
    """The processes can't start or continue; the message is for the terminal."""


@dataclass(frozen=True)
class Child:
    """A child process; its output goes to a log file."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    async def watch(self) -> None:
        """Raise LaunchFailed when the process ends by itself."""
        code = await self.process.wait()
        tail = self.log.read_text(errors="replace").strip().splitlines()[-12:]
        raise LaunchFailed(
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


async def spawn(  # noqa: PLR0913 - what makes a process
    name: str,
    command: Sequence[str],
    environment: dict[str, str],
    logs: Path,
    *,
    folder: Path | None = None,
    inherited: Sequence[int] = (),
) -> Child:
    """Start a process.

    Args:
        name: its name in messages and, in lower case, of its log file.
        command: program and arguments.
        environment: all of its environment variables.
        logs: folder of its log file.
        folder: its working directory; by default that of the launcher.
        inherited: file descriptors that it inherits.
    """
    log = logs / f"{name.lower()}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            process_group=0,  # Ctrl-C must only reach the launcher, which stops all in order
            pass_fds=inherited,
        )
    return Child(name, process, log)


async def wait_for(name: str, condition: Callable[[], bool]) -> None:
    """Poll a blocking check, in a thread, until it finds a process ready.

    Raises:
        LaunchFailed: it is not ready within ``START_S``.
    """
    try:
        async with asyncio.timeout(START_S):
            while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise LaunchFailed(f"The {name} did not get ready within {START_S:g} s.") from None


def port_of(text: str) -> int:
    """Parse a port number.

    Raises:
        ValueError: the text is no port number.
    """
    try:
        return parse_whole(text, 1, _LAST_PORT)
    except ValueError:
        raise ValueError(f"{text!r} is no port") from None


def listen(candidates: Sequence[int]) -> socket.socket:
    """Listen on the first free port; 0 stands for any.

    A listening socket reserves its port. One that was only found free may be taken by the time it
    is used.

    Raises:
        LaunchFailed: no port is free.
    """
    for port in candidates:
        listener = socket.socket()
        # As servers do: a port that only has connections in TIME_WAIT counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except OSError:
            listener.close()
            continue
        return listener
    first, last = candidates[0], candidates[-1]
    which = f"Port {first} is not" if first == last else f"No port from {first} to {last} is"
    raise LaunchFailed(f"{which} free on {HOST}.")
