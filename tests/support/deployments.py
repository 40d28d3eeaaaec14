"""Redis in each form in which it is deployed."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.sentinels import SentinelSet
from tests.support.valkey import Valkey
from tests.support.valkey_cluster import ValkeyCluster

_PAGE: Final = Path(__file__).parents[2] / "docs" / "deployment.md"
(_RULES,) = re.findall(r"ACL SETUSER jobcast on >PASSWORD (.+)", _PAGE.read_text())
USER: Final[Sequence[str]] = _RULES.split()
"""The ACL rules of the page for the user of service, workers and bridge."""


class Deployment:
    """One form: its URL, and the server that has a key.

    Attributes:
        url: the URL that the service is configured with.
        server_of: returns the server that has a key.
        is_cluster: whether channels are sharded.
    """

    def __init__(self, url: str, server_of: Callable[[str], Valkey]) -> None:
        self.url = url
        self.server_of = server_of
        self.is_cluster = "+cluster" in url

    def channel(self, job_id: str) -> str:
        """Return the name of a job's channel."""
        return f"jobs:{{{job_id}}}:events" if self.is_cluster else f"jobs:{job_id}:events"


FORMS: Final = (
    *("plain", "unix", "user", "sentinel", "cluster"),
    *("tls", "tls sentinel", "tls cluster"),
)


def deployment(form: str, request: pytest.FixtureRequest) -> Deployment:
    """Return one of the forms, with an empty database."""
    if form in {"cluster", "tls cluster"}:
        cluster: ValkeyCluster = request.getfixturevalue(form.replace(" ", "_"))
        return Deployment(cluster.url, cluster.owner_of)
    if form in {"sentinel", "tls sentinel"}:
        sentinels: SentinelSet = request.getfixturevalue(f"{form}s".replace(" ", "_"))
        return Deployment(sentinels.url, lambda _: sentinels.primary())
    if form == "tls":
        tls: Valkey = request.getfixturevalue("tls_redis")
        return Deployment(tls.url, lambda _: tls)
    valkey: Valkey = request.getfixturevalue("valkey")
    valkey.flush()
    url = valkey.url
    if form == "unix":
        url = valkey.unix_url
    elif form == "user":
        url = valkey.add_user("jobcast", "a päss/wörd?", *USER)
    return Deployment(url, lambda _: valkey)
