"""Events that a process could not send before it ended, stored for the next process.

RQ's work horse exits with its task. If Jobcast's Redis is unavailable then, the last events and the
end of the job are stored in RQ's Redis until another task begins. They keep their run and their
sequence numbers, so each is written once, however often it is sent.
"""

import json
import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from redis.exceptions import RedisError

from jobcast._errors import JobcastError
from jobcast._retry import will_pass
from jobcast.protocol.append import Append
from jobcast.sync._connection import Connection
from jobcast.sync._jobs import Jobs
from jobcast.sync._run import Run

_log: Final = logging.getLogger("jobcast.adapters")


class Unsent(NamedTuple):
    """The unacknowledged events of a run with their sequence numbers, oldest first.

    ``is_retried`` is whether the queue will run the task again.
    """

    job_id: str
    attempt: int | None
    run: str
    events: Sequence[tuple[int, Append]]
    is_retried: bool

    @classmethod
    def of(cls, run: Run, *, is_retried: bool) -> Self | None:
        """Return the unsent events of a run that has ended; None if its end was written."""
        sender = run._sender  # noqa: SLF001 - senders are internal to the library
        if not sender.has_end or sender.token is None:
            return None
        return cls(run.job_id, run.attempt, sender.token, sender.unsent(), is_retried)

    def deliver(self, connection: Connection, jobs: Jobs) -> bool:
        """Send the events; return False if Redis is unavailable, so that they must be kept."""
        try:
            for number, event in self.events:
                connection.append(self.job_id, event, self.attempt, self.run, str(number))
            if self.is_retried:
                jobs.retry(self.job_id)
        except RedisError as error:
            if will_pass(error):
                return False
            _log.warning("job %s: %s", self.job_id, error)
        except JobcastError as refusal:
            _log.info("job %s: %s", self.job_id, refusal)
        except Exception as error:  # noqa: BLE001 - invalid data must not fail a task
            _log.warning("what another process has left can't be sent: %s", error)
        return True

    def to_json(self) -> str:
        """Serialize to JSON."""
        events = [
            [number, {**event._asdict(), "fields": dict(event.fields)}]
            for number, event in self.events
        ]
        return json.dumps({**self._asdict(), "events": events})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self | None:
        """Parse JSON; None if it is invalid."""
        try:
            given = json.loads(text)
            events = [(int(number), _append_of(fields)) for number, fields in given["events"]]
            return cls(**{**given, "events": events})
        except (ValueError, TypeError, KeyError):
            return None


def _append_of(fields: dict[str, Any]) -> Append:
    return Append(**{**fields, "cleared": tuple(fields["cleared"])})
