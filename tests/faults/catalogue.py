"""All faults, by name."""

from typing import Final

from tests.faults import (
    failover_faults,
    network_faults,
    redis_faults,
    service_faults,
    viewer_faults,
)
from tests.faults.fault import Fault

FAULTS: Final[dict[str, type[Fault]]] = {
    fault.name: fault
    for fault in (
        redis_faults.Killed,
        redis_faults.Emptied,
        redis_faults.SetBack,
        redis_faults.Flushed,
        redis_faults.KeysDeleted,
        redis_faults.IdUsedAgain,
        redis_faults.Loading,
        redis_faults.Frozen,
        redis_faults.Paused,
        redis_faults.SubscribersKilled,
        redis_faults.ClientsKilled,
        redis_faults.Full,
        redis_faults.DiskFull,
        redis_faults.ReadOnly,
        redis_faults.ClockBack,
        redis_faults.ClocksJump,
        failover_faults.PrimaryKilled,
        failover_faults.PrimaryFrozen,
        failover_faults.SwitchedOver,
        failover_faults.NodeKilled,
        failover_faults.FailedOver,
        failover_faults.SlotMoved,
        network_faults.RedisCutOff,
        network_faults.RedisMute,
        network_faults.RedisLate,
        network_faults.RedisSlow,
        network_faults.RedisHalfClosed,
        network_faults.WorkersCutOff,
        network_faults.ViewersCutOff,
        network_faults.ViewersMute,
        network_faults.ViewersLate,
        network_faults.ViewersSlow,
        network_faults.ViewersHalfClosed,
        service_faults.Stopped,
        service_faults.Killed,
        service_faults.AllKilled,
        service_faults.Replaced,
        service_faults.Frozen,
        service_faults.WorkerKilled,
        service_faults.WorkerLost,
        viewer_faults.Stalled,
        viewer_faults.OneByte,
        viewer_faults.Vanished,
        viewer_faults.Storm,
    )
}
