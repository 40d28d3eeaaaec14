"""Workers and the node of their jobs, in a Cluster whose other nodes are well all the time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final

import pytest
from redis.exceptions import RedisError

import jobcast
from app.upkeep.stalled_runs import StalledRuns
from eventlog.append import Appender
from eventlog.errors import LogUnavailable
from eventlog.leases import LeasedRun, Leases
from jobcast import Run
from jobcast.protocol.leases import LEASES_KEY, unused_key
from jobcast.protocol.names import state_key
from jobcast.redis.caller import Caller
from tests.support.starting import until_it_says
from tests.support.valkey import HOST
from tests.support.valkey_cluster import ClusterNode, ValkeyCluster
from tests.support.waiting import PATIENCE_SECONDS, after, eventually, until

GRACE_S: Final = 2.0
LEASE_S: Final = 1.0


@pytest.fixture
async def stalled_runs(cluster_caller: Caller) -> AsyncIterator[StalledRuns]:
    """Look for lost workers during the test."""
    looking = StalledRuns(Leases(cluster_caller), Appender(cluster_caller), GRACE_S)
    running = asyncio.create_task(looking.run())
    yield looking
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def _settings_as_they_were(cluster: ValkeyCluster) -> Iterator[None]:
    yield
    cluster.restart()
    for node in cluster.nodes:
        node.ask("CONFIG", "SET", "maxmemory", "0", "cluster-require-full-coverage", "yes")


@contextmanager
def killed(cluster: ValkeyCluster, node: ClusterNode) -> Iterator[None]:
    """Kill a node; the block ends as its replica has taken over."""
    replica = cluster.replica_of(node)
    node.kill()
    yield
    until_it_says(lambda: replica.is_primary and takes_writes(replica), PATIENCE_SECONDS)


@contextmanager
def frozen(cluster: ValkeyCluster, node: ClusterNode) -> Iterator[None]:
    """Freeze a node that nobody takes over from."""
    cluster.replica_of(node).kill()
    for each in cluster.nodes:
        if each.runs:
            each.ask("CONFIG", "SET", "cluster-require-full-coverage", "no")
    node.pause()
    yield
    node.resume()
    until_it_says(lambda: takes_writes(node), PATIENCE_SECONDS)


@contextmanager
def full(_: ValkeyCluster, node: ClusterNode) -> Iterator[None]:
    """Let a node have no memory left."""
    node.ask("CONFIG", "SET", "maxmemory", "1")
    yield
    node.ask("CONFIG", "SET", "maxmemory", "0")


def takes_writes(node: ClusterNode) -> bool:
    keys = (unused_key(number) for number in range(1000))
    return bool(node.ask("SETRANGE", next(filter(node.serves, keys)), 0, "") == 0)


def jobs_of(cluster: ValkeyCluster, *, with_index: bool) -> Iterator[str]:
    """Yield ids of jobs that are on the node which has the index, or on one other node."""
    node = cluster.owner_of(LEASES_KEY)
    if not with_index:
        node = cluster.other_than(node)
    return (f"j{n}" for n in range(1000) if node.serves(state_key(f"j{n}")))


async def left_alone(jobs: jobcast.Jobs, job_id: str) -> Run:
    """Return the run of a job whose lease nobody renews."""
    run = jobs.run(await jobs.create("report", user_id="u1", job_id=job_id))
    await run.start()
    assert run._lease is not None
    run._lease.stop()
    return run


async def until_failed(cluster: ValkeyCluster, job_id: str) -> None:
    def has_failed() -> bool:
        key = state_key(job_id)
        return bool(cluster.owner_of(key).ask("HGET", key, "status") == "failed")

    await eventually(lambda: asyncio.to_thread(has_failed))


async def are_due(cluster_caller: Caller, runs: Mapping[str, Run]) -> bool:
    """Have the leases of runs be looked at next, once the node of the index knows of the others."""
    with suppress(RedisError):
        for job_id, run in runs.items():
            member = f"{job_id}:{run._sender.token}"
            await cluster_caller.call(LEASES_KEY, "ZADD", LEASES_KEY, "1", member)
        return True
    return False


def has_looked(stalled_runs: StalledRuns, since_ms: float) -> bool:
    """Say whether all nodes were looked at since."""
    looks = stalled_runs._series.values()
    return bool(looks) and all(look.last_ms > since_ms for look in looks)


@pytest.mark.parametrize("away", [killed, frozen, full])
async def test_an_outage_of_a_jobs_node_alone_fails_only_whose_workers_are_gone(
    cluster: ValkeyCluster,
    cluster_caller: Caller,
    stalled_runs: StalledRuns,
    away: Callable[[ValkeyCluster, ClusterNode], AbstractContextManager[None]],
) -> None:
    elsewhere, (lives, lost, *_) = (
        jobs_of(cluster, with_index=True),
        jobs_of(cluster, with_index=False),
    )
    async with jobcast.connect(cluster.url, lease_s=LEASE_S) as jobs:
        await left_alone(jobs, other := next(elsewhere))
        await until_failed(cluster, other)
        runs = {job_id: await left_alone(jobs, job_id) for job_id in (lives, lost)}
        outage = away(cluster, cluster.owner_of(state_key(lives)))
        await asyncio.to_thread(outage.__enter__)
        await after(1.5 * LEASE_S)
        await asyncio.to_thread(outage.__exit__, None, None, None)
        await eventually(lambda: are_due(cluster_caller, runs))  # as if not looked at meanwhile
        since_ms = time.time() * 1000
        await until(lambda: has_looked(stalled_runs, since_ms))  # before the worker is back
        await runs[lives]._renew(60_000)
        await until_failed(cluster, lost)
        await runs[lives].complete()
    await until(lambda: stalled_runs.stalled == 2)


async def test_a_node_that_took_over_is_looked_at_for_all_that_it_serves(
    cluster: ValkeyCluster, cluster_caller: Caller
) -> None:
    async def are_all() -> bool:
        with suppress(LogUnavailable):  # it may be the node of the index
            times = await leases.check()
            # The old node's MOVED tells of one slot: the run's follows with the map.
            return set(times.by_server) == names and leases.server_of(run) == f"{HOST}:{first.port}"
        return False

    leases, run = Leases(cluster_caller), LeasedRun(b"j1:r", "j1", b"r")
    assert len((await leases.check()).by_server) == 3
    first = await asyncio.to_thread(cluster.failover, state_key("j1"))
    names = {f"{HOST}:{port}" for port in first.primary_ports().values()}
    await eventually(are_all)


async def test_a_node_is_looked_at_after_the_slot_of_the_look_has_moved(
    cluster: ValkeyCluster, cluster_caller: Caller
) -> None:
    async def are_all() -> bool:
        with suppress(LogUnavailable):  # the node of the index is looked at by such a key too
            return len((await leases.check()).by_server) == 3
        return False

    leases = Leases(cluster_caller)
    await leases.check()
    for key in tuple(leases._keys.values()):
        await asyncio.to_thread(cluster.move_slot, key)
    await eventually(are_all)


async def test_a_cluster_without_the_node_of_the_index_is_redis_being_away(
    cluster: ValkeyCluster, cluster_caller: Caller
) -> None:
    leases = Leases(cluster_caller)
    await leases.check()
    full(cluster, cluster.owner_of(LEASES_KEY)).__enter__()
    with pytest.raises(LogUnavailable):
        await leases.check()
