"""The Cluster of the tests does what other tests rely on."""

import pytest
from redis.exceptions import AskError, MovedError

from tests.valkey_cluster import SlotMove, ValkeyCluster

KEY = "jobs:{job-1}:log"


def test_a_slot_on_its_way_is_asked_for_elsewhere_and_then_has_moved(
    cluster: ValkeyCluster,
) -> None:
    cluster.owner_of(KEY).ask("SET", KEY, "value")
    with SlotMove(cluster, KEY) as move:
        assert move.source.ask("GET", KEY) == "value"
        move.move_keys()
        with pytest.raises(AskError):
            move.source.ask("GET", KEY)
    with pytest.raises(MovedError):
        move.source.ask("GET", KEY)
    assert cluster.owner_of(KEY) is move.target
    assert move.target.ask("GET", KEY) == "value"


def test_a_replica_takes_over_in_good_order(cluster: ValkeyCluster) -> None:
    owner = cluster.owner_of(KEY)
    replica = cluster.failover(KEY)
    assert cluster.owner_of(KEY) is replica is not owner
    assert cluster.replica_of(replica) is owner


def test_a_killed_primary_is_followed_by_its_replica_and_comes_back_as_one(
    cluster: ValkeyCluster,
) -> None:
    owner = cluster.owner_of(KEY)
    owner.kill()
    cluster.until_ok()
    assert cluster.owner_of(KEY) is not owner
    cluster.restart()
    assert not owner.is_primary


def test_a_frozen_primary_is_followed_by_its_replica(cluster: ValkeyCluster) -> None:
    owner = cluster.owner_of(KEY)
    owner.pause()
    cluster.until_ok()
    assert cluster.owner_of(KEY) is not owner
