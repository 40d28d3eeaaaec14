"""When a task that was cancelled in Jobcast is aborted by its queue."""

import logging
from collections.abc import Callable
from typing import Final

from jobcast._run_state import RunState

OnCancel = Callable[[], object]
"""Is called when the job was asked to stop."""

_log: Final = logging.getLogger("jobcast.adapters")


class Abort:
    """Has the queue abort a task whose job was asked to stop, if it does not notice that itself.

    One that reports gets `JobCancelled` from its next report. The queue may abort it at the same
    time only if it has not stopped until the renewal of the lease after that.
    """

    def __init__(self, on_cancel: OnCancel | None) -> None:
        self._on_cancel = on_cancel
        self._has_reported = self._was_spared = False

    def reported(self) -> None:
        """Take in that the task has reported."""
        self._has_reported = True

    def renewed(self, run: RunState) -> None:
        """Abort the task if the renewal of its run's lease says so, once."""
        has_reported, self._has_reported = self._has_reported, False
        if not run.cancel_requested or self._on_cancel is None:
            return
        if has_reported and not self._was_spared:
            self._was_spared = True
            return
        on_cancel, self._on_cancel = self._on_cancel, None
        try:
            on_cancel()
        except Exception:  # noqa: BLE001 - the lease is renewed whatever the queue says
            _log.exception("job %s: the task could not be aborted", run.job_id)
