"""When a task that was cancelled in Jobcast is aborted by its queue."""

import logging
from collections.abc import Callable
from typing import Final

from jobcast._run_state import RunState

OnCancel = Callable[[], object]
"""Is called when the job was asked to stop."""

_log: Final = logging.getLogger("jobcast.adapters")

_IF_REPORTED: Final = 2
"""The number of the renewal at which a task is spared only if it has reported."""


class Abort:
    """Has the queue abort a task whose job was asked to stop, if it does not stop by itself.

    A task that reports gets `JobCancelled` from its next report, and must not be aborted while it
    stops. So nothing is done at the renewal of the lease that shows the request, nor at the one
    after that if the task has reported in between.
    """

    def __init__(self, on_cancel: OnCancel | None) -> None:
        self._on_cancel = on_cancel
        self._renewals = 0  # since the request was known
        self._has_reported = False

    def reported(self) -> None:
        """Take in that the task has reported."""
        self._has_reported = True

    def renewed(self, run: RunState) -> None:
        """Abort the task, once, if it had its time; called after each renewal of the lease."""
        has_reported, self._has_reported = self._has_reported, False
        if not run.cancel_requested or self._on_cancel is None:
            return
        self._renewals += 1
        if self._renewals < _IF_REPORTED or (self._renewals == _IF_REPORTED and has_reported):
            return
        on_cancel, self._on_cancel = self._on_cancel, None
        try:
            on_cancel()
        except Exception:  # noqa: BLE001 - the lease is renewed whatever the queue says
            _log.exception("job %s: the task could not be aborted", run.job_id)
