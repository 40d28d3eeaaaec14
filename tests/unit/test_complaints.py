import logging

import pytest

from eventlog.complaints import Complaints
from eventlog.errors import UnreadableJob, is_of_the_data
from schema.owner import Owner


def test_each_complaint_is_made_once_a_job(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints()
    for _ in range(3):
        for job_id in ("j1", "j2"):
            complaints.unreadable(job_id, UnreadableJob("status is None"))
            complaints.read_otherwise(job_id, ["result is read as null: no JSON"])
            complaints.read_otherwise(job_id, [])
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
    Complaints().read_otherwise("j1", [f"fault {number}" for number in range(1000)])
    assert "fault 9" in caplog.text
    assert "fault 10" not in caplog.text


def test_a_job_that_cannot_be_read_may_still_say_whose_it_is() -> None:
    assert UnreadableJob("x", {"userId": "u1", "sessionId": None}).owner == Owner("u1")
    assert UnreadableJob("x", {"status": "running"}).owner is None


@pytest.mark.parametrize(
    "reply",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR Error running script (call to f_0a): @user_script:48: WRONGTYPE Operation against a",
        "Invalid stream ID specified as stream command argument",
        "user_script:69: attempt to perform arithmetic on local 'its_attempt' (a nil value)",
        "The stream has exhausted the last possible ID, unable to add more items",
        "value is not an integer or out of range script: 0a, on @user_script:190.",
    ],
)
def test_what_redis_says_of_the_data_it_will_say_again(reply: str) -> None:
    assert is_of_the_data(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "OOM command not allowed when used memory > 'maxmemory'.",
        "MISCONF Redis is configured to save RDB snapshots, but it's unable to persist to disk.",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "NOREPLICAS Not enough good replicas to write.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "MOVED 3999 127.0.0.1:6381",
        "NOSCRIPT No matching script. Please use EVAL.",
        "NOAUTH Authentication required.",
        "NOPERM this user has no permissions to run the 'evalsha' command",
        "ERR max number of clients reached",
        "DB index is out of range",
        "ERR Error running script (call to f_0a): @user_script:1: -OOM command not allowed",
        "ERR Error running script (call to f_0a): @user_script:1: -READONLY You can't write",
        "ACL failure in script: The user executing the script can't run this command",
    ],
)
def test_what_redis_says_of_itself_may_pass(reply: str) -> None:
    assert not is_of_the_data(reply)
