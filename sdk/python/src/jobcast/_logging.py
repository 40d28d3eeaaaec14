"""Logging of Jobcast's own processes: service, worker and bridge."""

import logging


def log_to_stderr(name: str = "") -> None:
    """Log to stderr from INFO on, with time, level and logger, unless logging is configured.

    ``name`` limits that to a logger and those below it.
    """
    logger = logging.getLogger(name)
    if logger.hasHandlers():
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
