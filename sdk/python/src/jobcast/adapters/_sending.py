"""Cancels the job of a message that a blocking queue could not send."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jobcast.adapters._blocking import Tasks
from jobcast.adapters._task import Ticket


class Sending:
    """The message that is being sent in this context. Without it, its job would stay queued."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._ticket = ContextVar[Ticket | None]("jobcast_sending", default=None)

    def is_of(self, ticket: Ticket | None) -> None:
        """Store the ticket of the message, once its job is queued."""
        self._ticket.set(ticket)

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Send a message in this block; if that raises, cancel its job."""
        before = self._ticket.set(None)
        try:
            yield
        except BaseException:
            self._tasks.cancel(self._ticket.get())
            raise
        finally:
            self._ticket.reset(before)
