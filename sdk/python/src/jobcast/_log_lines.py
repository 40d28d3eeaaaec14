"""Records of Python's ``logging`` as log lines of a job."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

_OURS = ("jobcast", "redis")


class LineHandler(logging.Handler):
    """Sends records to a run as its ``log`` events; ``send`` gets text, level and further fields.

    Records of this library and of redis-py are skipped: they are about the connection to Redis.
    """

    def __init__(self, send: Callable[[str, str, dict[str, Any]], None], level: int) -> None:
        super().__init__(level)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record; an exception is handled as ``logging`` handles those of any handler."""
        if record.name.partition(".")[0] in _OURS:
            return
        try:
            time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            more = {"time": time.replace("+00:00", "Z"), "logger": record.name}
            # A text may have lone surrogates, for example from a file name.
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
