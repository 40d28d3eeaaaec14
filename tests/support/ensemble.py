"""Several servers that are one Redis together."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.support.valkey import Valkey


class Ensemble(ABC):
    """What a Cluster and a set of Sentinels have in common; ``with`` starts and ends them all."""

    @property
    @abstractmethod
    def processes(self) -> Sequence[Valkey]:
        """Return all of them, in the order in which they are started."""

    @abstractmethod
    def start(self) -> None:
        """Start everything and return once all know of each other."""

    @abstractmethod
    def until_ok(self) -> None:
        """Wait until those that run agree on what is where."""

    def restart(self) -> None:
        """Start and resume what was killed or frozen, and wait until all is well."""
        for process in self.processes:
            if process.is_paused:
                process.resume()
            elif not process.runs:
                process.start()
        self.until_ok()

    def close(self) -> None:
        """End all processes and remove their data."""
        for process in reversed(self.processes):
            process.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
