"""File descriptors: each open stream takes one, and without one nobody can be let in."""

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
"""What a process needs beside its streams: connections to Redis, polls, idle connections, files."""

_LOOK_S: Final = 1.0
_SAY_AGAIN_S: Final = 60.0
_NONE_LEFT: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_HOW_TO_RAISE: Final = (
    "raise the limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of a container) or "
    "lower JOBCAST_STREAMS_PER_PROCESS"
)


def raise_limit(streams: int) -> None:
    """Let the process have as many descriptors as it may, and warn if that is too few.

    Args:
        streams: how many may be open at a time.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # macOS has less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    if soft != resource.RLIM_INFINITY and soft < streams + RESERVE:
        _log.warning(
            "%d file descriptors (RLIMIT_NOFILE) are too few for the %d streams of "
            "JOBCAST_STREAMS_PER_PROCESS, which take %d: %s",
            *(soft, streams, streams + RESERVE, _HOW_TO_RAISE),
        )


class Descriptors:
    """Says when there is none left, which event loops hide or say too often.

    uvloop lets a client in and closes its connection at once, without a word. asyncio tries again
    each second, and logs a trace for each connection that it could have accepted.

    Args:
        streams: returns how many are open.
    """

    def __init__(self, streams: Callable[[], int]) -> None:
        self._streams = streams
        self._said_at = -math.inf
        self._is_said = False
        self._refused = False

    async def run(self) -> None:
        """Look each second whether there is one, until cancelled."""
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()

        def heed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            if _is_of_accept(context):
                self._refused = True
            elif handler is None:
                loop.default_exception_handler(context)
            else:
                handler(loop, context)

        loop.set_exception_handler(heed)
        try:
            while True:
                self.look(loop.time())
                await asyncio.sleep(_LOOK_S)
        finally:
            loop.set_exception_handler(handler)

    def look(self, now: float) -> None:
        """Try to open a file, and say if that changed; at most once a minute that none is left.

        Args:
            now: seconds on any clock that never goes back.
        """
        refused, self._refused = self._refused, False
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in _NONE_LEFT:
                return
            refused = True
        if refused and now - self._said_at >= _SAY_AGAIN_S:
            self._said_at, self._is_said = now, True
            _log.error(
                "no file descriptor is left, so no connection can be accepted; the %d open streams "
                "go on. RLIMIT_NOFILE is %d: %s",
                *(self._streams(), resource.getrlimit(resource.RLIMIT_NOFILE)[0], _HOW_TO_RAISE),
            )
        elif not refused and self._is_said:
            self._is_said = False
            _log.warning("file descriptors are available again, and connections are accepted")


def _is_of_accept(context: dict[str, Any]) -> bool:
    error = context.get("exception")
    return (
        isinstance(error, OSError)
        and error.errno in _NONE_LEFT
        and "accept()" in context.get("message", "")
    )
