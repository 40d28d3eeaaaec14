"""The TLS server of the tests lets in whom it should, and nobody else."""

import pytest
import redis

from tests.support.valkey import Valkey


def test_who_shows_a_certificate_is_answered(tls_redis: Valkey) -> None:
    assert tls_redis.ask("PING")


def test_who_shows_none_is_not(tls_redis: Valkey) -> None:
    assert tls_redis.tls is not None
    address, _, _ = tls_redis.url.partition("?")
    url = f"{address}?{tls_redis.tls.query_without_certificate}"
    with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
        client.ping()
