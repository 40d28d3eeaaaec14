"""Redis crashes, freezes, forgets, or refuses."""

import asyncio
import time
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

import jobcast
from jobcast.protocol.names import PLAIN, log_key, state_key
from tests.faults.fault import Fault
from tests.faults.history import FOREIGN
from tests.faults.workload import Work
from tests.support.stored import log_of
from tests.support.waiting import after, eventually

_HOUR_S = 3600
_FILLING = 12_000


class _OfRedis(Fault):
    target = "redis"
    form = "plain"

    async def command(self, *words: str) -> None:
        """Send Redis a command, past the networks."""
        await self.world.direct.execute_command(*words)  # type: ignore[no-untyped-call]


class Killed(_OfRedis):
    name = "redis-killed"
    what = "Redis is killed, and started with its data"

    async def strike(self) -> None:
        await asyncio.to_thread(self.world.valkey.kill)

    async def heal(self) -> None:
        await asyncio.to_thread(self.world.valkey.start)


class Emptied(Killed):
    name = "redis-emptied"
    what = "Redis is killed, and started without its data"
    loses = True

    async def heal(self) -> None:
        self.world.valkey.lose_data()
        await super().heal()


class SetBack(Killed):
    name = "redis-set-back"
    what = "Redis is killed, and started with older data"
    loses = True

    async def strike(self) -> None:
        copied = {work.job_id: len(work.confirmed) for work in self.world.works}
        self.world.valkey.keep_copy()

        async def went_on() -> bool:
            return all(
                work.end is not None or len(work.confirmed) > copied[work.job_id] + 10
                for work in self.world.works
            )

        await eventually(went_on)
        await super().strike()

    async def heal(self) -> None:
        self.world.valkey.go_back_to_copy()
        await super().heal()


class Flushed(_OfRedis):
    name = "redis-flushed"
    what = "All keys are deleted while Redis runs (FLUSHALL)"
    seconds = 0.0
    loses = True
    apart_from = frozenset({SetBack.name})
    """What came back would be nobody's."""

    async def strike(self) -> None:
        await self.command("FLUSHALL")
        for work in self.world.works:
            self.world.deleted.setdefault(work.job_id, set())


class KeysDeleted(_OfRedis):
    name = "keys-deleted"
    what = "The keys of a job, or its state alone, are deleted or evicted while Redis runs"
    seconds = 0.0
    apart_from = frozenset({SetBack.name})
    """What came back would be nobody's."""

    async def strike(self) -> None:
        going_on = [work for work in self.world.works if work.end is None]
        if going_on:
            await self.delete(self.chance.choice(going_on))

    async def delete(self, work: Work) -> None:
        """Delete the keys of a job."""
        keys = [state_key(work.job_id), log_key(work.job_id)]
        self.world.deleted.setdefault(work.job_id, set())
        await self.command("DEL", *keys[: self.chance.randint(1, 2)])


class IdUsedAgain(KeysDeleted):
    name = "id-used-again"
    what = "The keys of a job are deleted, and somebody else creates and runs one under its id"
    seconds = 1.0

    async def delete(self, work: Work) -> None:
        await super().delete(work)
        job_id = work.job_id
        said = f'{{"event":"note","data":{{"text":"{FOREIGN}"}}}}'
        async with jobcast.connect(self.world.valkey.url) as jobs:
            await jobs.create("anything", session_id="stranger", job_id=job_id)
            await self.command("PUBLISH", PLAIN.channel(job_id), said)
            # The worker of the deleted job takes it over, if it was killed too.
            with suppress(jobcast.JobSuperseded):
                async with jobs.run(job_id) as run:
                    await run.step(FOREIGN)
                    await after(self.length_s / 2)
                    await run.emit("note", {"text": FOREIGN})
                    run.result = {"text": FOREIGN}
        entries = await log_of(self.world.direct, job_id)
        self.world.deleted[job_id].update(entry_id for entry_id, _ in entries)


class Loading(Killed):
    name = "redis-loading"
    what = "Redis is restarted, and loads its data slowly (LOADING)"
    seconds = 0.1

    async def strike(self) -> None:
        async with self.world.direct.pipeline(transaction=False) as filling:
            for number in range(_FILLING):
                filling.set(f"filling:{number}", "x" * 100)
            await filling.execute()
        await super().strike()

    async def heal(self) -> None:
        slowly = ("--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024")
        await asyncio.to_thread(self.world.valkey.start, *slowly)


class Frozen(_OfRedis):
    name = "redis-frozen"
    what = "Redis is frozen (SIGSTOP)"
    seconds = 10.0
    mixed_seconds = 3.0

    async def strike(self) -> None:
        self.world.valkey.pause()

    async def heal(self) -> None:
        self.world.valkey.resume()


class Paused(_OfRedis):
    name = "redis-paused"
    what = "Redis answers nobody (CLIENT PAUSE)"
    seconds = 2.0

    async def strike(self) -> None:
        # It ends by itself: Redis would not take a command that ends it.
        await self.command("CLIENT", "PAUSE", str(int(self.length_s * 1000)), "ALL")


class SubscribersKilled(_OfRedis):
    name = "subscribers-killed"
    what = "Redis closes the connections of subscribers"
    seconds = 0.0

    async def strike(self) -> None:
        await self.command("CLIENT", "KILL", "TYPE", "pubsub")


class ClientsKilled(_OfRedis):
    name = "clients-killed"
    what = "Redis closes all connections, three times"
    seconds = 0.0

    async def strike(self) -> None:
        for _ in range(3):
            await self.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await self.command("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.sleep(0.1)


class Full(_OfRedis):
    name = "redis-full"
    what = "Redis has no memory left (OOM)"

    async def strike(self) -> None:
        await self.command("CONFIG", "SET", "maxmemory", "1")

    async def heal(self) -> None:
        await self.command("CONFIG", "SET", "maxmemory", "0")


class DiskFull(_OfRedis):
    name = "disk-full"
    what = "The disk under Redis is full (MISCONF)"
    seconds = 2.0

    async def strike(self) -> None:
        self.world.valkey.limit(1)

    async def heal(self) -> None:
        self.world.valkey.limit(None)
        await eventually(self._writes)

    async def _writes(self) -> bool:
        try:
            return bool(await self.world.direct.set("any", "1"))
        except RedisError:
            return False


class ReadOnly(_OfRedis):
    name = "redis-read-only"
    what = "Redis is the replica of a master that is away (READONLY)"

    async def strike(self) -> None:
        await self.command("REPLICAOF", "127.0.0.1", "1")

    async def heal(self) -> None:
        await self.command("REPLICAOF", "NO", "ONE")


class ClocksJump(_OfRedis):
    name = "clocks-jump"
    what = "The clocks of Redis and the services go ahead by an hour, then back by two"
    needs_clock = True

    async def strike(self) -> None:
        await self._jump_to(_HOUR_S)
        await after(self.length_s)
        await self._jump_to(-_HOUR_S)

    async def _jump_to(self, ahead_s: int) -> None:
        assert self.world.clock is not None
        self.world.clock.jump_to(ahead_s)

        async def jumped() -> bool:
            seconds, _ = await self.world.direct.time()
            return abs(seconds - time.time() - ahead_s) < _HOUR_S / 2

        await eventually(jumped)


class ClockBack(_OfRedis):
    name = "clock-back"
    what = "Redis' clock is an hour behind the last entries"
    seconds = 0.0

    async def strike(self) -> None:
        """Let the logs' last ids be of an hour ahead: what XADD sees after such a jump."""
        for work in self.world.works:
            await _move_on(self.world.direct, log_key(work.job_id))


async def _move_on(redis: Redis, key: str) -> None:
    if not await redis.exists(key):
        return
    information = await redis.xinfo_stream(key)
    milliseconds = int(str(information["last-generated-id"]).split("-")[0])
    await redis.execute_command(  # type: ignore[no-untyped-call]
        "XSETID", key, f"{milliseconds + _HOUR_S * 1000}-0"
    )
