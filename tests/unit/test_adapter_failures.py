"""What adapters make of the errors and values of queues and tasks, which may be anything."""

import json
from typing import Never

import pytest
from celery.exceptions import Retry
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from jobcast._errors import JobExists
from jobcast._owner import Owner
from jobcast.adapters._leniency import Notices, Outage
from jobcast.adapters._report import is_changed
from jobcast.adapters._task import failing, will_retry
from jobcast.adapters._task_state import Enqueueing
from jobcast.adapters.celery import Execution

TOO_MUCH = "x" * 2_000_000
TEXTS = {"\ud83d": "?", f"{TOO_MUCH}\udcff": TOO_MUCH[:4096], "No paper": "No paper"}


@pytest.mark.parametrize("text", TEXTS, ids=["a surrogate", "too long", "plain"])
def test_a_text_of_the_queue_ends_the_job_whatever_it_holds(text: str) -> None:
    event, smaller = failing(text, None)
    assert json.loads(event.data) == {"error": TEXTS[text], "errorCode": None}
    assert json.loads(smaller.data)["error"] == TEXTS[text][:64]
    assert json.loads(will_retry(text, None).data)["error"] == TEXTS[text][:64]


class Array:
    """Compares like an array: element by element, so that the outcome has no truth."""

    def __ne__(self, other: object) -> "Array":  # type: ignore[override]
        return self

    def __bool__(self) -> Never:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


def test_a_value_that_can_not_be_compared_counts_as_changed() -> None:
    assert is_changed({"a": Array()}, "a", Array())
    assert is_changed({}, "a", Array())
    assert is_changed({"a": 1}, "a", 2)
    assert not is_changed({"a": 1}, "a", 1)


@pytest.mark.parametrize(
    ("error", "is_outage", "is_sent"),
    [
        (RedisConnectionError("refused"), True, True),
        (ResponseError("OOM command not allowed"), True, True),
        (ResponseError("WRONGTYPE Operation against a key"), False, True),
        (JobExists(), False, False),
    ],
    ids=["away", "full", "one bad key", "refused"],
)
def test_only_an_outage_makes_later_tasks_wait_for_nothing(
    error: Exception, *, is_outage: bool, is_sent: bool
) -> None:
    outage = Outage()
    enqueueing = Enqueueing(Notices(), outage)
    ticket = enqueueing.ticket("t1", "task", Owner("u1", None))
    assert ticket is not None
    assert (enqueueing.creation_failed(ticket, error) is ticket) == is_sent
    assert outage.is_on == is_outage


class OddText(str):
    """What a task may name as its failure."""

    __slots__ = ()

    def __str__(self) -> Never:
        raise ValueError


class NoText:
    def __str__(self) -> Never:
        raise ValueError


class FalseError(Exception):
    """An exception that is false."""

    def __bool__(self) -> bool:
        return False


class JobOf:
    """Keeps how an execution has ended its job."""

    def __init__(self) -> None:
        self.error: object = None

    def fail(self, error: str) -> None:
        self.error = json.loads(failing(error, None)[0].data)["error"]

    def retry(self, error: str | BaseException) -> None:
        self.error = error


def ended(state: str, value: object = None, failure: object = None) -> object:
    """Return the error with which an execution of Celery ends its job."""
    job = JobOf()
    execution = object.__new__(Execution)
    execution.job = job  # type: ignore[assignment]
    execution.is_cancelled = execution.is_continued = False
    execution.failure = failure
    execution.end(state, value)
    return job.error


@pytest.mark.parametrize(
    ("failure", "error"),
    [(OddText("No paper"), "No paper"), (NoText(), "NoText"), ("a\ud83d", "a?"), (5, "5")],
    ids=["a text of its own class", "no text", "a surrogate", "a number"],
)
def test_whatever_a_task_of_celery_names_as_its_failure_fails_the_job(
    failure: object, error: str
) -> None:
    assert ended("IGNORED", failure=failure) == error


def test_an_exception_that_is_false_is_still_the_reason_of_a_retry() -> None:
    reason = FalseError("No paper")
    assert ended("RETRY", Retry(exc=reason)) is reason
