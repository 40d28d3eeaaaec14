"""Which refusals of Redis pass by themselves."""

import pytest
from redis.exceptions import ResponseError

from jobcast._retry import is_transient

WRAPPED = (
    "Error running script (call to f_96aa4ac678b3806bf814b9f85529d73128ed066d): "
    "@user_script:238: @user_script: 238: -"
)
"""How Redis 6 begins the refusal of a command within a script."""


@pytest.mark.parametrize(
    "refusal",
    [
        "BUSY Redis is busy running a script.",
        "MISCONF Errors writing to the AOF file",
        "NOREPLICAS Not enough good replicas to write.",
        WRAPPED + "NOREPLICAS Not enough good replicas to write.",
        WRAPPED + "OOM command not allowed when used memory > 'maxmemory'.",
        WRAPPED + "READONLY You can't write against a read only replica.",
    ],
)
def test_a_write_that_redis_refuses_for_now_is_repeated(refusal: str) -> None:
    assert is_transient(ResponseError(refusal))


@pytest.mark.parametrize(
    "refusal",
    [
        "unknown command 'EVALSHA'",
        "wrong, and not: -READONLY for that",
        WRAPPED + "WRONGTYPE Operation against a key holding the wrong kind of value",
    ],
)
def test_any_other_refusal_is_not(refusal: str) -> None:
    assert not is_transient(ResponseError(refusal))
