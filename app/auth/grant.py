"""What a worker token allows."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from jobcast.protocol.names import parse_job_id
from schema.http import MAX_TYPE

SCOPE: Final = "jobs:publish"
"""The scope of worker tokens."""


class Grant(Struct, frozen=True):
    """The jobs that a worker may create and append events to.

    Attributes:
        job_types: their types; None for any.
        job_ids: their ids; None for any.
    """

    job_types: frozenset[str] | None = None
    job_ids: frozenset[str] | None = None

    def covers_id(self, job_id: str) -> bool:
        """Return whether the grant covers a job with this id."""
        return self.job_ids is None or job_id in self.job_ids

    def covers_type(self, job_type: str) -> bool:
        """Return whether the grant covers a job of this type."""
        return self.job_types is None or job_type in self.job_types


def grant_of(payload: Mapping[str, Any]) -> Grant | None:
    """Return the grant in the claims of a token; None unless it has ``SCOPE``.

    Scopes are in ``scope`` (RFC 9068, space-separated) or ``scp``; either may be an array. The
    claims ``jobType`` and ``jobId``, a string or an array, restrict the token.

    Raises:
        ValueError: a restriction is malformed, so it can't be enforced.
    """
    if SCOPE not in _scopes(payload):
        return None
    return Grant(
        _restriction(payload, "jobType", _job_type), _restriction(payload, "jobId", _job_id)
    )


def _scopes(payload: Mapping[str, Any]) -> Iterator[object]:
    for name in ("scope", "scp"):
        given = payload.get(name)
        if isinstance(given, str):
            yield from given.split(" ")
        elif isinstance(given, list):
            yield from given


def _restriction(
    payload: Mapping[str, Any], name: str, parse: Callable[[object], str]
) -> frozenset[str] | None:
    if name not in payload:
        return None
    given = payload[name]
    values = given if isinstance(given, list) else [given]
    if not values:
        raise ValueError(f"{name}: an empty list")
    return frozenset(map(parse, values))


def _job_type(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TYPE:
        raise ValueError("not a type of a job")
    return value


def _job_id(value: object) -> str:
    job_id = parse_job_id(value)
    if job_id is None:
        raise ValueError("not an id of a job")
    return job_id
