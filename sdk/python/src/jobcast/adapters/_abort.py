"""Aborts the task of a cancelled job, if the task does not stop by itself."""

import logging
from collections.abc import Callable
from typing import Final

from jobcast._run_state import RunState

OnCancel = Callable[[], object]
"""Aborts the task; called at most once, after the job was asked to stop."""

_log: Final = logging.getLogger("jobcast.adapters")

_IF_REPORTED: Final = 2
"""The second renewal that finds a cancel request does not abort a task that has just reported."""


class Abort:
    """Decides when the queue aborts a task whose job was asked to stop.

    A task that reports gets `JobCancelled` from its next report, and must not be aborted while it
    cleans up. So it is aborted at the second renewal of the lease that finds the request, or at the
    third if it has reported between the first and the second.
    """

    def __init__(self, on_cancel: OnCancel | None) -> None:
        self._on_cancel = on_cancel
        self._renewals = 0  # that found a cancel request
        self._has_reported = False

    def reported(self) -> None:
        """Record that the task has reported."""
        self._has_reported = True

    def renewed(self, run: RunState) -> None:
        """Abort the task if that is due; called after each renewal of the lease."""
        has_reported, self._has_reported = self._has_reported, False
        if not run.cancel_requested or self._on_cancel is None:
            return
        self._renewals += 1
        if self._renewals < _IF_REPORTED or (self._renewals == _IF_REPORTED and has_reported):
            return
        on_cancel, self._on_cancel = self._on_cancel, None
        try:
            on_cancel()
        except Exception:  # noqa: BLE001 - the renewals must go on
            _log.exception("job %s: the task could not be aborted", run.job_id)
