"""The worker's settings, from environment variables."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from jobcast import parse_address
from jobcast._settings import parse_seconds, parse_whole

MAX_CONCURRENCY: Final = 1000
MAX_GRACE_S: Final = 24 * 3600

_QUEUE: Final = re.compile(r"[^:\s]{1,128}")


class InvalidSettings(ValueError):
    """A setting is invalid; the message names the variable."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings. Each is an environment variable; an empty one counts as unset.

    ``redis_url`` is REDIS_URL. The others have the prefix JOBCAST_: ``queue`` is the name of the
    BullMQ queue, ``files_root`` the folder that the checksum job may read, ``concurrency`` the
    number of jobs that run at once, ``grace_s`` how many seconds they have to end at a shutdown.
    """

    redis_url: str = "redis://127.0.0.1:6379/0"
    queue: str = "jobcast"
    files_root: Path | None = None
    concurrency: int = 4
    grace_s: float = 10.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read and validate the settings. Raises InvalidSettings if one is invalid."""
        return cls(
            redis_url=_redis_url(environment),
            queue=_queue(environment),
            files_root=files_root(environment),
            concurrency=_concurrency(environment),
            grace_s=_grace_s(environment),
        )


def files_root(environment: Mapping[str, str]) -> Path | None:
    """Return JOBCAST_FILES_ROOT as a resolved path; None if it is unset.

    Raises InvalidSettings if it is not a folder.
    """
    text = _text(environment, "JOBCAST_FILES_ROOT")
    if text is None:
        return None
    try:
        path = Path(text).resolve()
        is_folder = path.is_dir()
    except (OSError, RuntimeError, ValueError):  # an invalid name, or a loop of symlinks
        is_folder = False
    if not is_folder:
        raise InvalidSettings(f"JOBCAST_FILES_ROOT: {text} is not a folder")
    return path


def _redis_url(environment: Mapping[str, str]) -> str:
    url = _text(environment, "REDIS_URL") or Settings.redis_url
    try:
        parse_address(url).check()
    except ValueError as error:
        raise InvalidSettings(f"REDIS_URL: {error}") from error
    return url


def _queue(environment: Mapping[str, str]) -> str:
    name = _text(environment, "JOBCAST_QUEUE") or Settings.queue
    if not _QUEUE.fullmatch(name):
        raise InvalidSettings("JOBCAST_QUEUE: 1 to 128 characters, no space and no colon")
    return name


def _concurrency(environment: Mapping[str, str]) -> int:
    text = _text(environment, "JOBCAST_CONCURRENCY")
    if text is None:
        return Settings.concurrency
    try:
        return parse_whole(text, 1, MAX_CONCURRENCY)
    except ValueError as error:
        raise InvalidSettings(f"JOBCAST_CONCURRENCY: {error}") from None


def _grace_s(environment: Mapping[str, str]) -> float:
    text = _text(environment, "JOBCAST_GRACE_S")
    if text is None:
        return Settings.grace_s
    try:
        return parse_seconds(text, 0, MAX_GRACE_S)
    except ValueError as error:
        raise InvalidSettings(f"JOBCAST_GRACE_S: {error}") from None


def _text(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    try:
        text.encode()
    except UnicodeEncodeError:  # Python decodes invalid bytes to surrogates
        raise InvalidSettings(f"{name}: not UTF-8") from None
    return text or None
