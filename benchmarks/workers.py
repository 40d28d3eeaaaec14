"""Workers for load: they publish events, each on its own, in a process of theirs: ``workers.c``."""

import tempfile
from collections.abc import Sequence
from typing import Final

from benchmarks.program import Program
from benchmarks.wire import Wire

WORKERS: Final = 64
"""Connections that publish: events of many jobs come from many worker processes."""

_START_S: Final = 10.0
_PATIENCE_S: Final = 30.0
_NS_PER_S: Final = 1e9
_MS_PER_S: Final = 1000


class Workers(Program):
    """Workers with a connection each, who share the jobs; they end with the context.

    Args:
        wire: how an event is spelled.
        jobs: whose events; they come in turn, those of one job from the same worker.
        port: where they go.
        count: how many workers there are.

    Attributes:
        sent: events so far.
        refused: those that were answered with an error.
        late_s: how late an event was at the worst, in the last ``publish``.
        last_ns: stamp of the last event.
    """

    def __init__(self, wire: Wire, jobs: Sequence[str], port: int, count: int = WORKERS) -> None:
        super().__init__("workers.c")
        self._wire = wire
        self._jobs = jobs
        self._port = port
        self._count = min(count, len(jobs))
        self.sent = self.refused = self.last_ns = 0
        self.late_s = 0.0

    async def connect(self) -> None:
        """Have all connect."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"".join(self._wire.template(job_id) + b"\0" for job_id in self._jobs))
            file.flush()
            await self.start(
                self._port, self._count, self._wire.answers, file.name, wait_s=_START_S
            )

    async def publish(self, per_s: int, seconds: float) -> int:
        """Publish at a mean rate for a time, wait for the last answer; return how many events.

        Raises:
            RuntimeError: a connection was lost, or answers are missing.
        """
        before = self.sent
        self.sent, answered, self.refused, late_ns, self.last_ns = await self.ask(
            f"pace {int(per_s * seconds)} {per_s}", seconds + _PATIENCE_S
        )
        self.late_s = late_ns / _NS_PER_S
        if self._wire.answers != "none" and answered != self.sent:
            raise RuntimeError(f"{answered} answers to {self.sent} events")
        return self.sent - before

    async def rush(self, seconds: float, answers: int = 1) -> float:
        """Have one worker send an event of each job at once, again when all are answered.

        Args:
            seconds: how long.
            answers: how many come to one event.

        Returns:
            events a second.

        Raises:
            RuntimeError: a connection was lost, or answers are missing or refusals.
        """
        before = self.sent
        question = f"rush {int(seconds * _MS_PER_S)} {answers}"
        self.sent, answered, self.refused, took_ns = await self.ask(question, seconds + _PATIENCE_S)
        if answered != self.sent * answers or self.refused:
            raise RuntimeError(f"{answered} answers, {self.refused} refusals to {self.sent} events")
        return (self.sent - before) / took_ns * _NS_PER_S
