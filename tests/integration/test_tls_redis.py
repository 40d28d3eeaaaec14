"""The TLS server of the tests lets in whom it should, and nobody else."""

import pytest
import redis

from tests.tls_redis import TlsRedis


def test_who_shows_a_certificate_is_answered(tls_redis: TlsRedis) -> None:
    assert tls_redis.ask("PING")


def test_who_shows_none_is_not(tls_redis: TlsRedis) -> None:
    with (
        redis.Redis.from_url(tls_redis.url_without_certificate) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()
