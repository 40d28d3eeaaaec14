"""Several servers that form one Redis."""

from abc import abstractmethod
from collections.abc import Sequence

from tests.support.starting import Started
from tests.support.valkey import Valkey


class Ensemble(Started):
    """Base of a Cluster and of a set with Sentinels; ``with`` starts and stops all servers."""

    @property
    @abstractmethod
    def processes(self) -> Sequence[Valkey]:
        """Return all servers, in the order of their start."""

    @abstractmethod
    def until_ok(self) -> None:
        """Wait until the running servers agree on their roles."""

    def restart(self) -> None:
        """Start killed servers, resume frozen ones, and wait until all agree."""
        for process in self.processes:
            if process.is_paused:
                process.resume()
            elif not process.runs:
                process.start()
        self.until_ok()

    def close(self) -> None:
        """Stop all servers and remove their data."""
        for process in reversed(self.processes):
            process.close()
