"""What a job's actor needs from around it; the tests have stand-ins of their own."""

from typing import Protocol

from actors.loop_actor import Ref
from eventlog.catch_up import PAGE, Given, IsWanted
from eventlog.channel import Subscriber
from schema.events import Terminal
from schema.state import JobState


class Feed(Protocol):
    """Where published events come from."""

    def follow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass on what is published of a job, and ``Subscribed`` when that begins."""

    def unfollow(self, job_id: str, subscriber: Subscriber) -> None:
        """Pass nothing more on to that subscriber."""


class Log(Protocol):
    """Who answers what an actor asks of Redis."""

    def catch_up(
        self,
        job_id: str,
        cursor: str | None,
        given: Given,
        is_wanted: IsWanted,
        most: int = PAGE,
    ) -> None:
        """Ask what became of a job since a cursor."""

    def look(self, job_id: str, known: JobState, given: Given, is_wanted: IsWanted) -> None:
        """Ask the same since a state, which is mostly the job's still."""

    def settle(self, job_id: str, event: Terminal, known: JobState, attempt: int) -> None:
        """Have the end that a publish-only worker published appended to that very job."""


class Registrar(Protocol):
    """Who knows which actor serves a job."""

    def forget(self, job_id: str, ref: Ref) -> None:
        """Send no further viewer to an actor."""

    def remind(self, delay_s: float, ref: Ref, message: object) -> None:
        """Tell an actor something later."""

    def note_dropped(self) -> None:
        """Count a publication that was dropped."""
