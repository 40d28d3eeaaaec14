import re

import pytest

from eventlog.errors import REFUSALS
from jobcast._errors import refused
from jobcast.protocol.append import SCRIPT
from jobcast.protocol.refusals import Refusal, is_data_error


def test_the_refusals_are_those_of_the_append_script() -> None:
    assert set(re.findall(r"refuse\((?:string\.format\()?'([A-Z]+) ", SCRIPT)) == set(Refusal)


def test_the_service_knows_every_refusal() -> None:
    assert REFUSALS.keys() == set(Refusal)


def test_the_library_does_not_know_those_of_operations_that_it_lacks() -> None:
    unknown = {code for code in Refusal if refused(f"{code} it is so") is None}
    assert unknown == {Refusal.LEASED}


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
    assert is_data_error(reply)


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
    assert not is_data_error(reply)
