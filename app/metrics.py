"""The metrics of a process, as Prometheus text."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.directory import Directory
from app.auth.key_set import KeySet
from app.streaming.viewers import Viewers
from app.upkeep.stalled_runs import StalledRuns
from eventlog.append import Appender
from eventlog.subscriptions import Subscriptions


class Metrics(Collector):
    """Reads the components' counters on each scrape."""

    def __init__(  # noqa: PLR0913 - the components
        self,
        viewers: Viewers,
        directory: Directory,
        subscriptions: Subscriptions,
        appender: Appender,
        stalled_runs: StalledRuns,
        *,
        key_set: KeySet | None,
    ) -> None:
        self._viewers = viewers
        self._directory = directory
        self._subscriptions = subscriptions
        self._appender = appender
        self._stalled_runs = stalled_runs
        self._key_set = key_set
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield GaugeMetricFamily("jobcast_streams", "Open streams", len(self._viewers))
        yield GaugeMetricFamily("jobcast_actors", "Jobs with an actor", len(self._directory))
        yield GaugeMetricFamily("jobcast_channels", "Followed channels", len(self._subscriptions))
        yield GaugeMetricFamily(
            "jobcast_subscribed",
            "Whether the connection that follows jobs is up",
            float(self._subscriptions.connected),
        )
        yield CounterMetricFamily(
            "jobcast_streams_opened", "Streams opened since the start", self._viewers.total
        )
        yield CounterMetricFamily(
            "jobcast_publications_dropped",
            "Publications that broke the contract or are not in the log",
            self._directory.dropped,
        )
        yield CounterMetricFamily(
            "jobcast_publications_refused",
            "Appends of this process whose publication Redis refused",
            self._appender.unpublished,
        )
        yield CounterMetricFamily(
            "jobcast_runs_stalled",
            "Runs that this process failed because their worker was lost",
            self._stalled_runs.stalled,
        )
        yield CounterMetricFamily(
            "jobcast_redis_reconnects",
            "Times that the connection that follows jobs was lost",
            self._subscriptions.reconnects,
        )
        if self._key_set is not None:
            yield GaugeMetricFamily(
                "jobcast_key_set_available",
                "Whether the last fetch of the published key set brought one",
                float(self._key_set.available),
            )
            yield CounterMetricFamily(
                "jobcast_key_set_failures",
                "Fetches of the published key set that failed",
                self._key_set.failures,
            )
