"""How a bridge starts and ends, and how the services learn of it."""

import asyncio
import signal
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis

from eventlog.bridge_watch import BridgeWatch
from jobcast.redis.caller import Caller
from tests.support.bridge_process import APPENDS, LEADS, BridgeProcess
from tests.support.deployments import USER
from tests.support.valkey import Valkey
from tests.support.waiting import eventually, until

QUEUE = {"JOBCAST_BRIDGE_BULLMQ": "render"}


async def refused(redis: Redis, command: str) -> int:
    """Return how often Redis has refused a command for want of a right."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {}).get("rejected_calls", 0))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(redis_url: str, number: signal.Signals) -> None:
    bridge = BridgeProcess(redis_url, **QUEUE)
    with bridge:
        bridge.send(number)
        assert bridge.wait() == 0
    assert "stopped: 0 appended; nothing was left out" in bridge.log


@pytest.mark.parametrize("variable", ["REDIS_URL", "JOBCAST_BRIDGE_QUEUE_URL"])
def test_a_database_that_redis_refuses_ends_its_start_with_2(valkey: Valkey, variable: str) -> None:
    address = valkey.url.removesuffix("0") + "99"
    urls = {"REDIS_URL": valkey.url, variable: address}
    bridge = BridgeProcess(urls.pop("REDIS_URL"), **QUEUE, **urls)
    bridge.start()
    assert bridge.wait() == 2
    assert f"{variable}: Redis refuses it" in bridge.log


def test_it_waits_for_a_redis_that_is_not_there_yet() -> None:
    server = Valkey()
    bridge = BridgeProcess(server.url, **QUEUE)
    bridge.start()
    bridge.wait_for_log("the lease can't be renewed")
    with server, bridge:
        bridge.wait_for_log(LEADS)


async def test_rights_that_are_missing_are_logged_once_with_their_cause(
    redis_client: Redis, valkey: Valkey
) -> None:
    async def are_refused_again() -> bool:
        counts = [await refused(redis_client, each) for each in ("psubscribe", "xrevrange")]
        return min(counts) >= 3

    url = valkey.add_user("bridge", "secret", *USER, "allchannels", "-psubscribe", "-xrevrange")
    bridge = BridgeProcess(url, **QUEUE, JOBCAST_BRIDGE_PUBLICATIONS="1")
    bridge.start()
    await eventually(are_refused_again)
    valkey.ask("ACL", "SETUSER", "bridge", "+psubscribe", "+xrevrange")
    bridge.wait_for_log("reading from")
    with bridge:
        assert bridge.log.count("not following, events are missed now: NOPERM") == 1
        assert bridge.log.count("Traceback") == 1


async def test_the_documented_user_suffices(redis_client: Redis, valkey: Valkey) -> None:
    url = valkey.add_user("documented", "secret", *USER)
    with BridgeProcess(url, JOBCAST_BRIDGE_PUBLICATIONS="1") as bridge:
        bridge.wait_for_log(APPENDS)
        assert "NOPERM" not in bridge.log
    assert await redis_client.exists("jobs:bridge")


async def test_a_bridge_that_may_not_follow_leaves_the_events_to_the_services(
    redis_client: Redis, valkey: Valkey
) -> None:
    url = valkey.add_user("bridge", "secret", *USER, "-psubscribe")
    bridge = BridgeProcess(url, JOBCAST_BRIDGE_PUBLICATIONS="1")
    bridge.start()
    bridge.wait_for_log(LEADS)

    async def is_refused_again() -> bool:
        return await refused(redis_client, "psubscribe") >= 3

    await eventually(is_refused_again)
    assert not await redis_client.exists("jobs:bridge")
    valkey.ask("ACL", "SETUSER", "bridge", "+psubscribe")
    with bridge:
        bridge.wait_for_log(APPENDS)
        assert await redis_client.exists("jobs:bridge")


async def test_a_service_leaves_events_to_a_bridge_from_the_moment_on_that_it_announces(
    caller: Caller, redis_client: Redis
) -> None:
    watch = BridgeWatch(caller)
    await watch.check()
    assert not watch.is_bridged()
    seconds, _ = await redis_client.time()
    await redis_client.set("jobs:bridge", (seconds + 3600) * 1000, px=10_000)
    await watch.check()
    assert not watch.is_bridged()
    await redis_client.set("jobs:bridge", seconds * 1000 - 1, px=10_000)
    await watch.check()
    assert watch.is_bridged()
    await redis_client.delete("jobs:bridge")
    await watch.check()
    assert not watch.is_bridged()
    await redis_client.set("jobs:bridge", seconds * 1000 - 1, px=300)
    await watch.check()
    await until(lambda: not watch.is_bridged())


@pytest.mark.parametrize("stored", ["no number", "nan", "1e300", ""])
async def test_an_announcement_that_is_none_is_none(
    caller: Caller, redis_client: Redis, stored: str
) -> None:
    watch = BridgeWatch(caller)
    await redis_client.set("jobs:bridge", stored, px=10_000)
    await watch.check()
    assert not watch.is_bridged()
    await redis_client.delete("jobs:bridge")
    await redis_client.hset("jobs:bridge", "a", "b")
    looking = asyncio.create_task(watch.run())
    with suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            await looking
    assert not watch.is_bridged()
