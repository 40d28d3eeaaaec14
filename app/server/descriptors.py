"""File descriptors: each stream takes one, and without a free one no connection is accepted."""

import asyncio
import errno
import logging
import math
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

_log = logging.getLogger("jobcast.descriptors")

RESERVE: Final = 256
"""Descriptors besides those of streams: connections to Redis, polls, idle connections, files."""

_CHECK_S: Final = 1.0
_LOG_AGAIN_S: Final = 60.0
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_HOW_TO_RAISE: Final = (
    "raise the limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of a container) or "
    "lower JOBCAST_STREAMS_PER_PROCESS"
)


def raise_limit(streams: int) -> None:
    """Raise the soft limit to the hard one; warn if that is too low for so many streams."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS reports a hard limit that it refuses
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft != resource.RLIM_INFINITY and soft < streams + RESERVE:
        _log.warning(
            "%d file descriptors (RLIMIT_NOFILE) are too few for the %d streams of "
            "JOBCAST_STREAMS_PER_PROCESS, which take %d: %s",
            *(soft, streams, streams + RESERVE, _HOW_TO_RAISE),
        )


class Descriptors:
    """Logs when no descriptor is left, which event loops hide or log too often.

    uvloop accepts a client and silently closes the connection. asyncio retries each second, and
    each time logs a traceback for every place in the listener's backlog.

    Args:
        streams: returns the number of open streams.
    """

    def __init__(self, streams: Callable[[], int]) -> None:
        self._streams = streams
        self._logged_at = -math.inf
        self._is_logged = False
        self._refused = False

    async def run(self) -> None:
        """Check each second, until cancelled."""
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()

        def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if _is_accept_error(context):
                self._refused = True
            elif handler is None:
                loop.default_exception_handler(context)
            else:
                handler(loop, context)

        loop.set_exception_handler(handle)
        try:
            while True:
                self.check(loop.time())
                await asyncio.sleep(_CHECK_S)
        finally:
            loop.set_exception_handler(handler)

    def check(self, now: float) -> None:
        """Try to open a file; log a shortage at most once a minute, and its end.

        Args:
            now: monotonic seconds.
        """
        refused, self._refused = self._refused, False
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                return
            refused = True
        if refused and now - self._logged_at >= _LOG_AGAIN_S:
            self._logged_at, self._is_logged = now, True
            _log.error(
                "no file descriptor is left, so no connection can be accepted; the %d open streams "
                "go on. RLIMIT_NOFILE is %d: %s",
                *(self._streams(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], _HOW_TO_RAISE),
            )
        elif not refused and self._is_logged:
            self._is_logged = False
            _log.warning("file descriptors are available again, and connections are accepted")


def _is_accept_error(context: dict[str, Any]) -> bool:
    error = context.get("exception")
    return (
        isinstance(error, OSError)
        and error.errno in _NONE_LEFT
        and "accept()" in context.get("message", "")
    )
