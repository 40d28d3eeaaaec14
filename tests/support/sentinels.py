"""A primary, two replicas and three Sentinels for tests."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from redis.exceptions import ResponseError

from tests.support.ensemble import Ensemble
from tests.support.starting import until_it_says
from tests.support.tls import Tls
from tests.support.valkey import HOST, Valkey
from tests.support.waiting import PATIENCE_SECONDS

NAME: Final = "jobcast"
DOWN_AFTER_MS: Final = 2000
"""With less, a server that a busy machine does not schedule is considered down."""


_QUORUM: Final = 2
_FAILOVER_TIMEOUT_MS: Final = 3000
# By default Sentinels check every few seconds, which is long for a test. A replica is not promoted
# if its last INFO is older than five PING periods, and during an outage INFO is requested each
# second: so PING must not be much more frequent. By default a Sentinel that was not scheduled for
# two seconds does nothing for half a minute ("tilt").
_LOOK_OFTEN: Final = (
    *("PING-PERIOD", 400, "INFO-PERIOD", 200, "PUBLISH-PERIOD", 200),
    *("TILT-PERIOD", 1000),
)
# An idle set must not take CPU from other tests.
_LOOK_SELDOM: Final = ("PING-PERIOD", 1000, "INFO-PERIOD", 10_000, "PUBLISH-PERIOD", 2000)


class SentinelServer(Valkey):
    """One Sentinel; its configuration survives a restart."""

    def __init__(self, primary: Valkey) -> None:
        super().__init__(tls=primary.tls)
        self._configuration = self.folder / "sentinel.conf"
        tls = {} if self.tls is None else self.tls.server_options(self.port)
        self._configuration.write_text(
            f"bind {HOST}\n"
            f"port {self.port}\n"
            f"unixsocket {self.socket}\n"
            + "".join(f"{name} {value}\n" for name, value in tls.items())
            + f"dir {self.folder}\n"
            f"sentinel monitor {NAME} {HOST} {primary.port} {_QUORUM}\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} {_FAILOVER_TIMEOUT_MS}\n"
        )

    def start(self, *options: str) -> None:
        """Start it, and make it check more often than by default."""
        super().start(*options)
        self.look_often()

    def look_often(self) -> None:
        """Check often, as is the case from the start on."""
        self.ask("SENTINEL", "DEBUG", *_LOOK_OFTEN)

    def look_seldom(self) -> None:
        """Check seldom, to spare the machine, until ``look_often``."""
        self.ask("SENTINEL", "DEBUG", *_LOOK_SELDOM)

    def command(self) -> list[str]:
        """Return the command that starts it in the foreground."""
        return [self._program(), str(self._configuration), "--sentinel"]

    def primary_port(self) -> int:
        """Return the port of the primary that it knows."""
        _, port = self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return int(port)

    def sees_all(self, replicas: int, sentinels: int) -> bool:
        """Return whether it considers the primary up, and knows these numbers of others."""
        known = self._known()
        return (
            known["flags"] == "master"
            and int(known["num-slaves"]) == replicas
            and int(known["num-other-sentinels"]) == sentinels - 1
        )

    def fail_over(self) -> None:
        """Begin a failover, unless one is in progress."""
        if "failover_in_progress" in self._known()["flags"]:
            return
        with suppress(ResponseError):  # no replica is suitable, or one has just begun
            self.ask("SENTINEL", "FAILOVER", NAME)

    def _known(self) -> dict[str, str]:
        facts = self.ask("SENTINEL", "MASTER", NAME)
        return dict(zip(facts[::2], facts[1::2], strict=True))


class SentinelSet(Ensemble):
    """Six processes on free ports of 127.0.0.1; ``with SentinelSet() as sentinels:`` starts them.

    ``servers`` have methods to kill, freeze and restart them. If the primary fails, a replica is
    promoted, and the old primary returns as a replica. ``url`` names the three Sentinels.
    """

    def __init__(self, tls: Tls | None = None) -> None:
        self.servers = [Valkey("--repl-diskless-sync-delay", "0", tls=tls) for _ in range(3)]
        self.sentinels = [SentinelServer(self.servers[0]) for _ in range(3)]
        hosts = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        self.url = f"redis+sentinel://{hosts}/{NAME}"
        if tls is not None:
            self.url = f"rediss+sentinel://{hosts}/{NAME}?{tls.query}"

    @property
    def processes(self) -> Sequence[Valkey]:
        """Return all processes, in the order of their start."""
        return (*self.servers, *self.sentinels)

    def start(self) -> None:
        """Start everything, and wait until all know of each other."""
        primary, *replicas = self.servers
        for server in self.servers:
            server.start()
        for replica in replicas:
            replica.ask("REPLICAOF", HOST, primary.port)
        # Sentinels get the replicas from the primary, so these must be connected first.
        until_it_says(self._replicas_follow, PATIENCE_SECONDS)
        for sentinel in self.sentinels:
            sentinel.start()
        self.until_ok()

    def restart(self) -> None:
        """Start killed processes, resume frozen ones, end ``rest``, and wait until all agree."""
        for sentinel in self._watching():
            if not sentinel.is_paused:
                sentinel.look_often()
        super().restart()

    def rest(self) -> None:
        """Make the Sentinels check seldom, to spare the machine, until ``restart``."""
        for sentinel in self._watching():
            if not sentinel.is_paused:
                sentinel.look_seldom()

    def primary(self) -> Valkey:
        """Return the server that the first running Sentinel considers the primary."""
        port = self._watching()[0].primary_port()
        return next(server for server in self.servers if server.port == port)

    def until_ok(self) -> None:
        """Wait until the running Sentinels agree on a running primary, and replicas follow it."""
        until_it_says(self._is_ok, PATIENCE_SECONDS)

    def failover(self) -> Valkey:
        """Make the Sentinels promote another server; return it."""
        before = self.primary()

        def has_moved() -> bool:
            if self.primary() is not before:
                return self._is_ok()
            # Sentinels abort a failover that takes too long, and don't retry it by themselves.
            self._watching()[0].fail_over()
            return False

        until_it_says(has_moved, PATIENCE_SECONDS)
        return self.primary()

    def flush(self) -> None:
        """Remove every key."""
        self.primary().flush()

    def _running(self) -> Sequence[Valkey]:
        return [server for server in self.servers if server.runs]

    def _watching(self) -> Sequence[SentinelServer]:
        return [sentinel for sentinel in self.sentinels if sentinel.runs]

    def _replicas_follow(self) -> bool:
        roles = [server.ask("ROLE") for server in self._running()]
        primaries = [role for role in roles if role[0] == "master"]
        return (
            len(primaries) == 1
            and all(role[3] == "connected" for role in roles if role[0] == "slave")
            and len(primaries[0][2]) == len(roles) - 1
        )

    def _is_ok(self) -> bool:
        ports = {sentinel.primary_port() for sentinel in self._watching()}
        replicas, sentinels = len(self.servers) - 1, len(self.sentinels)
        return (
            ports <= {s.port for s in self._running() if s.ask("ROLE")[0] == "master"}
            and len(ports) == 1
            and all(sentinel.sees_all(replicas, sentinels) for sentinel in self._watching())
            and self._replicas_follow()
        )
