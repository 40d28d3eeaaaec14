import logging

import pytest

from eventlog.complaints import Complaints
from eventlog.errors import UnreadableJob
from schema.owner import Owner


def test_each_complaint_is_made_once_a_job(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for _ in range(3):
        for job_id in ("j1", "j2"):
            complaints.unreadable(job_id, UnreadableJob("status is None"))
            complaints.substituted(job_id, ["result is read as null: no JSON"])
            complaints.substituted(job_id, [])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.ERROR, "job j1 can't be read: status is None"),
        (
            logging.WARNING,
            "job j1 is not stored as it should be: result is read as null: no JSON",
        ),
        (logging.ERROR, "job j2 can't be read: status is None"),
        (
            logging.WARNING,
            "job j2 is not stored as it should be: result is read as null: no JSON",
        ),
    ]


def test_no_more_jobs_are_remembered_than_that_and_the_latest_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints(most=2)
    for job_id in ("j1", "j2", "j1", "j3", "j1", "j2"):
        complaints.unreadable(job_id, UnreadableJob())
    names = [record.getMessage().split()[1] for record in caplog.records]
    assert names == ["j1", "j2", "j3", "j2"]


def test_of_many_faults_the_first_are_told(caplog: pytest.LogCaptureFixture) -> None:
    Complaints().substituted("j1", [f"fault {number}" for number in range(1000)])
    assert "fault 9" in caplog.text
    assert "fault 10" not in caplog.text


def test_a_job_that_cannot_be_read_may_still_say_whose_it_is() -> None:
    assert UnreadableJob("x", {"userId": "u1", "sessionId": None}).owner == Owner("u1")
    assert UnreadableJob("x", {"status": "running"}).owner is None
