"""The libraries for Python and Node do the same: one list of calls, played by both."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.npm import SDK, installed, node
from tests.support.valkey import Valkey
from tests.support.worker_cases import CASES, FILE, expected, job_id_of, played, stored

NUMBERS = range(len(CASES))
IDS = [case["name"] for case in CASES]


@pytest.fixture(scope="module")
def node_valkey() -> Iterator[Valkey]:
    """Return a server that no other test empties."""
    with Valkey() as server:
        yield server


@pytest.fixture(scope="module")
def by_node(node_valkey: Valkey) -> list[dict[str, Any]]:
    """Return what became of the calls of each case in Node, which is started once for all."""
    installed()
    program = SDK / "test" / "worker" / "cases.js"
    done = subprocess.run(
        [node(), program, FILE, node_valkey.url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)
    return outcomes


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
async def test_the_python_library_does_as_the_case_says(
    redis_url: str, redis_client: Redis, number: int
) -> None:
    check(CASES[number], await played(redis_url, redis_client, number))
    check_stored(CASES[number], await stored(redis_client, job_id_of(number)))


@pytest.mark.parametrize("number", NUMBERS, ids=IDS)
async def test_the_node_library_does_as_the_case_says(
    node_valkey: Valkey, by_node: list[dict[str, Any]], number: int
) -> None:
    check(CASES[number], by_node[number])
    async with Redis.from_url(node_valkey.url, decode_responses=True) as redis:
        check_stored(CASES[number], await stored(redis, job_id_of(number)))


def check(case: dict[str, Any], became: dict[str, Any]) -> None:
    assert became["outcomes"] == expected(case["calls"])
    if "started" in case:
        assert became["started"] == case["started"]


def check_stored(case: dict[str, Any], has: dict[str, Any]) -> None:
    if "log" in case:
        assert has["log"] == case["log"]
    if "first" in case:
        assert has["log"][: len(case["first"])] == case["first"]
        assert has["log"][-len(case["last"]) :] == case["last"]
    if "names" in case:
        assert [name for name, _ in has["log"]] == case["names"]
    if "numbers" in case:
        assert has["numbers"] == case["numbers"]
    state = {name: has["state"].get(name) for name in case.get("state", {})}
    assert state == case.get("state", {})
