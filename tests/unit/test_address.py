import pytest
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

from eventlog.address import parse_address


def test_a_single_server_is_read_as_redis_py_reads_it() -> None:
    address = parse_address("redis://u:p%40ss@h:1/2?socket_timeout=3")
    assert address.kind == "single"
    expected = {"username": "u", "password": "p@ss", "host": "h", "port": 1, "db": 2}
    assert address.options == {**expected, "socket_timeout": 3.0}
    assert parse_address("rediss://h").is_tls
    path = parse_address("unix:///run/redis.sock?db=1").options
    assert path == {
        "connection_class": UnixDomainSocketConnection,
        "path": "/run/redis.sock",
        "db": 1,
    }


def test_sentinels_and_the_name_of_what_they_watch_are_read() -> None:
    address = parse_address(
        "redis+sentinel://u:p%2C@a:1,b,[::1]:3/my%20master/4?sentinel_username=s&sentinel_password=t"
    )
    assert address.kind == "sentinel"
    assert address.nodes == (("a", 1), ("b", 26379), ("::1", 3))
    assert address.name == "my master"
    assert address.options == {"username": "u", "password": "p,", "db": 4}
    assert address.sentinel_options == {"username": "s", "password": "t"}


def test_nodes_of_a_cluster_are_read() -> None:
    address = parse_address("redis+cluster://:p@a:1,b:2")
    assert address.kind == "cluster"
    assert address.nodes == (("a", 1), ("b", 2))
    assert address.options == {"password": "p"}
    assert not address.is_tls


def test_tls_and_its_certificates_hold_for_sentinels_too() -> None:
    address = parse_address("rediss+sentinel://a/m?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k")
    tls = {"ssl_ca_certs": "/ca", "ssl_certfile": "/c", "ssl_keyfile": "/k"}
    assert address.options == {"connection_class": SSLConnection, **tls}
    assert address.is_tls
    assert address.sentinel_options == {"ssl": True, **tls}


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://h", "begins with none of redis://"),
        ("", "begins with none of redis://"),
        ("redis+cluster://", "no host and port"),
        ("redis+cluster://a,", "no host and port"),
        ("redis+cluster://a:b", "no host and port"),
        ("redis+cluster://a:66000", "no host and port"),
        ("redis+cluster://a/1", "no databases"),
        ("redis+cluster://a?db=1", "no databases"),
        ("redis+sentinel://a:1", "name"),
        ("redis+sentinel://a:1/", "name"),
        ("redis+sentinel://a:1/m/x", "number"),
        ("redis://h?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_what_can_not_be_meant_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_address(url)


@pytest.mark.parametrize("kind", ["redis", "rediss", "redis+cluster", "redis+sentinel"])
@pytest.mark.parametrize("rest", ["user:hunter2@a:b", "user:hunter2/2@a:1/m", ":hunter2?2@a/m"])
def test_a_refusal_names_no_password(kind: str, rest: str) -> None:
    with pytest.raises(ValueError, match="host") as refusal:
        parse_address(f"{kind}://{rest}")
    assert "hunter2" not in str(refusal.value)
