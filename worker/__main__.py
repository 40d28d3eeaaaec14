"""``python -m worker``: serve the queue until SIGTERM or SIGINT, then exit with 0."""

import asyncio
import logging
import os
import resource
import signal
import sys
from contextlib import suppress

import worker.checksum  # noqa: F401 - registers its job
from worker.queue import RedisRefuses
from worker.registry import registry
from worker.service import Worker
from worker.settings import InvalidSettings, Settings


def main() -> int:
    """Return the exit code: 0 after a signal, 2 for settings that can't be used."""
    try:
        settings = Settings.from_environment(os.environ)
    except InvalidSettings as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.captureWarnings(capture=True)
    _raise_limit()
    try:
        asyncio.run(_serve(settings))
    except RedisRefuses as error:
        print(f"REDIS_URL: {error}", file=sys.stderr)  # noqa: T201 - the last word
        return 2
    return 0


def _raise_limit() -> None:
    """Let the jobs that run at once have as many open files as the process may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS has less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(settings: Settings) -> None:
    service = Worker(settings, registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, service.stop)
    await service.run()


if __name__ == "__main__":
    sys.exit(main())
