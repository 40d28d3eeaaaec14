"""``jobcast bridge``: run a bridge until SIGTERM or SIGINT, then exit with 0."""

import asyncio
import logging
import os
import signal
import sys

from jobcast._logging import log_to_stderr
from jobcast.bridge.process import Bridge, RedisRefuses
from jobcast.bridge.settings import InvalidSettings, Settings


def main() -> int:
    """Run a bridge; return the exit code: 0 after a signal, 2 for invalid settings or URLs."""
    log_to_stderr()
    logging.captureWarnings(capture=True)
    try:
        asyncio.run(_serve(Settings.from_environment(os.environ)))
    except (InvalidSettings, RedisRefuses) as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the operator
        return 2
    return 0


async def _serve(settings: Settings) -> None:
    bridge = Bridge(settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, bridge.stop)
    await bridge.run()
