"""Service processes and workers end, crash or freeze."""

import asyncio
import signal
import sys

from tests.faults.fault import Fault
from tests.service import ROOT, Service


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
    what = "A worker is killed (SIGKILL), and another takes its job over"
    target = "worker"

    async def strike(self) -> None:
        self._worker = self.chance.choice(self.world.workers)
        work = await self._worker.rest()
        arguments = ("-m", "tests.faults.doomed_worker", self.world.store.url, work.job_id)
        doomed = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert doomed.stdout is not None
        for _ in range(self.chance.randrange(1, 10)):
            await doomed.stdout.readline()
        doomed.kill()
        await doomed.wait()

    async def heal(self) -> None:
        self._worker.go_on()
