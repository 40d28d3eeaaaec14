"""The bridge's settings, from its environment."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final, Self, TypeVar

from jobcast._json import MAX_EVENT_BYTES
from jobcast._settings import (
    DAY_SECONDS,
    MAX_ENTRIES,
    MAX_RETENTION_S,
    MIN_EVENT_BYTES,
    parse_seconds,
    parse_whole,
    shown,
)
from jobcast.adapters._broker import check_broker
from jobcast.bridge.owners import OwnerRule, parse_paths
from jobcast.protocol.append import Bounds
from jobcast.redis.address import parse_address

T = TypeVar("T")

_log: Final = logging.getLogger("jobcast.bridge")

MAX_LEASE_S: Final = 60.0

_PREFIX: Final = "JOBCAST_BRIDGE_"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUEUE: Final = re.compile(r"(?:[^:\s,]{1,128}:)?[^:\s,{}]{1,128}")
_SWITCHES: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
SOURCES: Final = tuple(f"{_PREFIX}{name}" for name in ("PUBLICATIONS", "BULLMQ", "CELERY", "RQ"))
"""The variables that name a source."""


class InvalidSettings(ValueError):
    """A setting is invalid; the message names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings; each is an environment variable, and an empty one counts as unset.

    ``redis_url`` is REDIS_URL, where the logs are; ``bounds`` are those of jobs that the bridge
    creates, JOBCAST_RETENTION_S, JOBCAST_LOG_ENTRIES and JOBCAST_EVENT_BYTES. With the prefix
    JOBCAST_BRIDGE_: ``publications`` says whether to follow publish-only workers, ``bullmq`` names
    queues of BullMQ in the Redis at ``queue_url``, ``rq`` says whether to follow the jobs of RQ
    there, ``celery`` is the URL of a broker of Celery; ``owner_rule`` consists of OWNER, SESSION
    and TYPE. Bridges with the same ``name`` have one leader, which is replaced when it has not
    renewed its lease for ``lease_s`` seconds.
    """

    redis_url: str
    queue_url: str
    bounds: Bounds
    owner_rule: OwnerRule
    publications: bool = False
    bullmq: tuple[str, ...] = ()
    celery: str | None = None
    rq: bool = False
    name: str = "bridge"
    lease_s: float = 5.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read and validate the settings. Raises `InvalidSettings` if one is invalid."""
        reader = _Reader(environment)
        redis_url = reader.read("REDIS_URL", "redis://127.0.0.1:6379/0", _address)
        bounds = Bounds(
            reader.read("JOBCAST_RETENTION_S", DAY_SECONDS, _whole(1, MAX_RETENTION_S)),
            reader.read("JOBCAST_LOG_ENTRIES", 10_000, _whole(10, MAX_ENTRIES)),
            reader.read(
                "JOBCAST_EVENT_BYTES", MAX_EVENT_BYTES, _whole(MIN_EVENT_BYTES, MAX_EVENT_BYTES)
            ),
        )
        rule = OwnerRule(
            user=reader.read(f"{_PREFIX}OWNER", (), parse_paths),
            session=reader.read(f"{_PREFIX}SESSION", (), parse_paths),
            type=reader.read(f"{_PREFIX}TYPE", (), parse_paths),
        )
        settings = cls(
            redis_url=redis_url,
            queue_url=reader.read(f"{_PREFIX}QUEUE_URL", redis_url, _address),
            bounds=bounds,
            owner_rule=rule,
            publications=reader.read(f"{_PREFIX}PUBLICATIONS", False, _switch),  # noqa: FBT003 - the default
            bullmq=reader.read(f"{_PREFIX}BULLMQ", (), _queues),
            celery=reader.read(f"{_PREFIX}CELERY", None, _broker),
            rq=reader.read(f"{_PREFIX}RQ", False, _switch),  # noqa: FBT003 - the default
            name=reader.read(f"{_PREFIX}NAME", cls.name, _name),
            lease_s=reader.read(f"{_PREFIX}LEASE_S", cls.lease_s, _lease),
        )
        reader.warn_of_unknown()
        settings.check(reader.read("JOBCAST_QUEUE", "jobcast", str))
        return settings

    def check(self, own_queue: str) -> None:
        """Raise `InvalidSettings` if the settings contradict each other."""
        if not (self.publications or self.bullmq or self.celery or self.rq):
            raise InvalidSettings(f"{' or '.join(SOURCES)}: name at least one source")
        if self.publications and parse_address(self.redis_url).kind == "cluster":
            raise InvalidSettings(
                f"{_PREFIX}PUBLICATIONS: can't be followed in a Cluster, whose sharded channels"
                " can't be subscribed to by a pattern; workers there have to append"
            )
        if self.rq and parse_address(self.queue_url).kind == "cluster":
            raise InvalidSettings(f"{_PREFIX}RQ: RQ does not run in a Cluster")
        if own_queue in self.bullmq and self.queue_url == self.redis_url:
            raise InvalidSettings(
                f"{_PREFIX}BULLMQ: {own_queue} is the queue of Jobcast itself (JOBCAST_QUEUE),"
                " whose workers append by themselves"
            )


class _Reader:
    """Reads variables, and remembers which names are known."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._known: set[str] = set()

    def read(self, name: str, default: T, parse: Callable[[str], T]) -> T:
        """Return a setting. Raises `InvalidSettings` if ``parse`` raises a ValueError."""
        self._known.add(name)
        text = self._environment.get(name, "").strip()
        if not text:
            return default
        try:
            text.encode()
        except UnicodeEncodeError:  # Python decodes invalid bytes to surrogates
            raise InvalidSettings(f"{name}: not UTF-8") from None
        try:
            return parse(text)
        except ValueError as error:
            raise InvalidSettings(f"{name}: {error}") from None

    def warn_of_unknown(self) -> None:
        """Warn of unknown variables with the bridge's prefix; other variables are ignored."""
        for name in self._environment:
            if name.startswith(_PREFIX) and name not in self._known:
                _log.warning("%s is no setting of the bridge and is ignored", name)


def _address(text: str) -> str:
    parse_address(text).check()
    return text


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCHES:
        raise ValueError(f"{shown(text)} is neither 1 nor 0")
    return _SWITCHES[text.lower()]


def _whole(least: int, most: int) -> Callable[[str], int]:
    return lambda text: parse_whole(text, least, most)


def _lease(text: str) -> float:
    return parse_seconds(text, 1, MAX_LEASE_S)


def _queues(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    for name in names:
        if not _QUEUE.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a queue: NAME or PREFIX:NAME")
    return names


def _broker(text: str) -> str:
    if find_spec("celery") is None:
        raise ValueError("needs Celery: install jobcast[celery]")
    check_broker(text)
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("1 to 64 letters, digits, dots, underscores and hyphens")
    return text
