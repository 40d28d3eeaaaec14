"""Records of Python's logging as lines of a job."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

_OURS = ("jobcast", "redis")


class LineHandler(logging.Handler):
    """Sends records to a run as its ``log`` events; ``send`` gets text, level and further fields.

    What the library itself and redis-py log is left out: it is about the way to Redis.
    """

    def __init__(self, send: Callable[[str, str, dict[str, Any]], None], level: int) -> None:
        super().__init__(level)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; what goes wrong is logging's own way to deal with."""
        if record.name.partition(".")[0] in _OURS:
            return
        try:
            time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            more = {"time": time.replace("+00:00", "Z"), "logger": record.name}
            # A file's name, say, may have what is not Unicode.
            text = self.format(record).encode(errors="replace").decode()
            self._send(text, _level(record.levelno), more)
        except Exception:  # noqa: BLE001 - as logging's handlers do
            self.handleError(record)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
