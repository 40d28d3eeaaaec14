"""What a run knows of its job, in both forms of the library."""

from typing import Any

from jobcast._json import from_json
from jobcast.protocol.append import Answer


class RunState:
    """What a run knows of its job."""

    job_id: str
    """The job's id."""
    attempt: int | None
    """The job's attempt, from 1; None before the start, unless it was asked for."""
    type: str = ""
    """The job's type; known after the start."""
    input: dict[str, Any]
    """The job's input; known after the start, and empty when the job has none."""
    result: object = None
    """What the job is completed with at the end of the block."""
    finished: bool = False
    """Whether this run has completed or failed the job, and Redis has acknowledged it."""
    cancel_requested: bool = False
    """Whether the job was asked to stop, as far as this run was told: by the answer to an event, or
    to a renewal of its lease."""

    def __init__(self, job_id: str, attempt: int | None) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self.input = {}

    def _began(self, answer: Answer) -> None:
        """Learn what the start said; ValueError if the input can't be read, all else is known."""
        self.attempt = answer.attempt
        self.cancel_requested = answer.cancel_requested
        self.type = answer.type
        self.input = _input_of(answer)


def _input_of(answer: Answer) -> dict[str, Any]:
    job_input = from_json(answer.input) if answer.input else None
    if job_input is None:
        return {}
    if not isinstance(job_input, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the input is wrong, not a type
    return job_input
