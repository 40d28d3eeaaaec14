"""Logging of outages: once for each cause while it lasts, and not at every try."""

import logging
from collections import OrderedDict
from time import monotonic
from typing import Final

_QUIET_S: Final = 60.0
"""Seconds without a cause after which it is logged again: longer than any pause between tries."""
_MOST: Final = 100
"""Most causes remembered; the oldest are forgotten."""


class Outages:
    """The outages of one dependency.

    ``message`` is what is logged, with a place for the cause.
    """

    def __init__(
        self, log: logging.Logger, message: str = "%s", level: int = logging.WARNING
    ) -> None:
        self._log = log
        self._message = message
        self._level = level
        self._seen: OrderedDict[str, float] = OrderedDict()

    def add(self, cause: object, *, met_by: str = "", error: BaseException | None = None) -> None:
        """Log a cause unless it lasts.

        ``met_by`` names what met it, such as a job: of all that meet it, the first is logged. With
        ``error`` its traceback is logged too.
        """
        text, now_s = str(cause), monotonic()
        last_s = self._seen.pop(text, None)
        self._seen[text] = now_s
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        if last_s is None or now_s - last_s > _QUIET_S:
            told = f"{met_by}: {text}" if met_by else text
            self._log.log(self._level, self._message, told, exc_info=error)

    def end(self, message: str) -> None:
        """Log a message if a cause was logged since the last call."""
        if self._seen:
            self._seen.clear()
            self._log.log(self._level, message)
