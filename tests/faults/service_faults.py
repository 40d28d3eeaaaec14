"""Service processes and workers end, crash or freeze."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import ClassVar

from redis.exceptions import RedisError

from tests.faults.fault import Fault
from tests.faults.forms import Form
from tests.faults.workload import Worker
from tests.support.module_process import ROOT
from tests.support.service import Service
from tests.support.stored import state_of
from tests.support.waiting import eventually

_PATIENCE_S = 40.0
"""A lease is over only after Redis was well for a while, which other faults may put off."""


class _OfService(Fault):
    target = "service"

    async def stop(self, service: Service) -> None:
        """End a service in good order, as a deployment does."""
        code = await asyncio.to_thread(service.stop)
        if code != 0:
            self.world.trouble.append(f"a service exited with {code}: {service.log[-2000:]}")


class Stopped(_OfService):
    name = "service-stopped"
    what = "One of two services is stopped (SIGTERM), and started later"

    async def strike(self) -> None:
        self._service = self.chance.choice(self.world.services)
        await self.stop(self._service)

    async def heal(self) -> None:
        await asyncio.to_thread(self._service.start)


class Killed(_OfService):
    name = "service-killed"
    what = "One of two services is killed (SIGKILL), and started later"

    async def strike(self) -> None:
        self._service = self.chance.choice(self.world.services)
        await asyncio.to_thread(self._service.kill)

    async def heal(self) -> None:
        await asyncio.to_thread(self._service.start)


class AllKilled(_OfService):
    name = "services-killed"
    what = "Both services are killed (SIGKILL), and started later"

    async def strike(self) -> None:
        for service in self.world.services:
            await asyncio.to_thread(service.kill)

    async def heal(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(each.start) for each in self.world.services))


class Replaced(_OfService):
    name = "rolling-restart"
    what = "Both services are restarted, one after the other"
    seconds = 0.0

    async def strike(self) -> None:
        for service in self.world.services:
            await self.stop(service)
            await asyncio.to_thread(service.start)


class Frozen(_OfService):
    name = "service-frozen"
    what = "One of two services is frozen (SIGSTOP)"
    seconds = 4.0

    async def strike(self) -> None:
        self._service = self.chance.choice(self.world.services)
        self._service.send(signal.SIGSTOP)

    async def heal(self) -> None:
        self._service.send(signal.SIGCONT)


class WorkerKilled(Fault):
    name = "worker-killed"
    what = "A worker of each form is killed (SIGKILL), and another takes its job over"
    target = "worker"
    longest_lease_s: ClassVar[float] = 60

    async def strike(self) -> None:
        forms = dict.fromkeys(worker.work.plan.form for worker in self.world.workers)
        self.workers = [self.chance.choice(self._of(form)) for form in forms]
        await asyncio.gather(*(self._kill_one_of(worker) for worker in self.workers))

    async def heal(self) -> None:
        for worker in self.workers:
            worker.go_on()

    def _of(self, form: Form) -> Sequence[Worker]:
        return [worker for worker in self.world.workers if worker.work.plan.form == form]

    async def _kill_one_of(self, worker: Worker) -> None:
        events = self.chance.randrange(1, 10)
        work = await worker.rest()
        lease_s = min(work.plan.lease_s, self.longest_lease_s)
        arguments = (self.world.store.url, work.job_id, str(lease_s), work.plan.form)
        await asyncio.to_thread(_work_and_die, arguments, events)


class WorkerLost(WorkerKilled):
    """Not while clocks go back: a lease that was taken before lasts for as long as they went."""

    name = "worker-lost"
    what = "A worker is killed (SIGKILL), and nobody takes its job over"
    apart_from = frozenset({"clocks-jump"})
    longest_lease_s = 1
    seconds = 0.0
    settings = {"JOBCAST_STALL_GRACE_S": "2"}  # noqa: RUF012 - as declared

    async def heal(self) -> None:
        """Wait until the service has ended the attempt whose worker will never come back."""
        for worker in self.workers:
            await eventually(partial(self._has_ended, worker.work.job_id), _PATIENCE_S)
        await super().heal()

    async def _has_ended(self, job_id: str) -> bool:
        # Redis may have forgotten the run, or the job: then nobody is waited for.
        with suppress(RedisError, OSError):
            return (await state_of(self.world.direct, job_id)).get("status") != "running"
        return False


def _work_and_die(arguments: Sequence[str], events: int) -> None:
    """Run a worker until it has sent some events, or met an error."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.doomed_worker", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as doomed:
        assert doomed.stdout is not None
        for _ in range(events):
            doomed.stdout.readline()
        # What runs in Node is a process of its own.
        os.killpg(doomed.pid, signal.SIGKILL)
