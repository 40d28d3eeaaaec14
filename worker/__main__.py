"""``python -m worker MODULE…``: serve the queue until SIGTERM or SIGINT, then exit with 0.

The modules register job functions, for example ``demo.checksum``.
"""

import asyncio
import logging
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from jobcast._logging import log_to_stderr
from worker.queue import RedisRefuses
from worker.registry import registry
from worker.service import Worker
from worker.settings import InvalidSettings, Settings


def main(modules: Sequence[str]) -> int:
    """Return the exit code: 0 after a signal, 2 for invalid settings or modules."""
    try:
        settings = Settings.from_environment(os.environ)
        for name in modules:
            import_module(name)
    except (InvalidSettings, ModuleNotFoundError) as error:
        return _refused(error)
    if not modules:
        return _refused("name the modules that register job functions: python -m worker MODULE…")
    log_to_stderr()
    logging.captureWarnings(capture=True)
    _raise_limit()
    try:
        asyncio.run(_serve(settings))
    except RedisRefuses as error:
        return _refused(f"REDIS_URL: {error}")
    return 0


def _refused(reason: object) -> int:
    print(reason, file=sys.stderr)  # noqa: T201 - for the operator
    return 2


def _raise_limit() -> None:
    """Raise the limit of open files, which all running jobs share."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS reports a hard limit that it then rejects
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings) -> None:
    service = Worker(settings, registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, service.stop)
    await service.run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
