"""Several servers that are one Redis together."""

from abc import abstractmethod
from collections.abc import Sequence

from tests.support.starting import Started
from tests.support.valkey import Valkey


class Ensemble(Started):
    """What a Cluster and a set of Sentinels have in common; ``with`` starts and ends them all."""

    @property
    @abstractmethod
    def processes(self) -> Sequence[Valkey]:
        """Return all of them, in the order in which they are started."""

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
