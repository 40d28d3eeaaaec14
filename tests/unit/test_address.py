from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

import pytest
from redis import exceptions
from redis.asyncio.connection import SSLConnection, UnixDomainSocketConnection

import jobcast
from eventlog.redis_calls import connect
from jobcast.redis.address import Address, parse_address
from tests.support.tls import Tls
from worker.queue_redis import QueueRedis

KINDS = {
    "redis": "redis://h/",
    "rediss": "rediss://h/",
    "unix": "unix:///run/redis.sock",
    "redis+sentinel": "redis+sentinel://h/name",
    "rediss+sentinel": "rediss+sentinel://h/name",
    "redis+cluster": "redis+cluster://h",
    "rediss+cluster": "rediss+cluster://h",
}
COMMON = (
    "username=u&password=p&client_name=job-cast&db=0&socket_timeout=1.5&socket_connect_timeout=.5"
    "&socket_read_size=4096&health_check_interval=10&max_connections=5"
)
POOLED = "&timeout=1&retry_on_timeout=no"
TLS = (
    "&ssl_cert_reqs=optional&ssl_check_hostname=false&ssl_min_version=771"
    "&ssl_ciphers=HIGH&ssl_include_verify_flags=VERIFY_X509_STRICT"
    "&ssl_exclude_verify_flags=VERIFY_X509_PARTIAL_CHAIN"
)


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


@pytest.mark.parametrize("url", [None, 6379, b"redis://h", PurePath("/run/redis.sock"), ["h"]])
def test_what_is_no_text_is_refused_by_its_class_alone(url: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match=f"must be a string, not {type(url).__name__}"):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://h", "the address begins with none of redis://"),
        ("", "the address begins with none of redis://"),
        ("redis+cluster://", "no host and port"),
        ("redis+cluster://a,", "no host and port"),
        ("redis+cluster://a:b", "no host and port"),
        ("redis+cluster://a:66000", "no host and port"),
        ("redis+cluster://a/1", "no databases"),
        ("redis+cluster://a?db=1", "no databases"),
        ("redis+sentinel://a:1", "name"),
        ("redis+sentinel://a:1/", "name"),
        ("redis+sentinel://a:1/m/x", "number"),
        ("redis://h?socket_timeout=soon", "socket_timeout: has to be a number"),
        ("redis://h?socket_timeout=0", "socket_timeout: has to be a number"),
        ("redis://h?socket_timeout=-1", "socket_timeout: has to be a number"),
        ("redis://h?socket_timeout=nan", "socket_timeout: has to be a number"),
        ("redis://h?socket_keepalive=maybe", "socket_keepalive: has to be 1 or 0"),
        ("redis://h?db=x", "db: has to be a whole number"),
        ("redis://h?db=-1", "db: has to be a whole number"),
        ("redis://h/x", "database .* is a number"),
        ("redis://h/1/2", "database .* is a number"),
        ("redis://h/-1", "database .* is a number"),
        ("redis+sentinel://a/m/\u0661", "database .* is a number"),
        ("redis://h?max_connections=0", "max_connections: has to be"),
        ("redis://h?client_name=job%20cast", "client_name: has to be ASCII without spaces"),
        ("redis://h?client_name=job%0Acast", "client_name: has to be ASCII without spaces"),
        ("redis://h?client_name=jöbcast", "client_name: has to be ASCII without spaces"),
        ("redis://h?client_name=a&client_name=b", "client_name: given twice"),
        ("redis://h?protocol=3", "protocol: Jobcast decides"),
        ("redis://h?decode_responses=1", "decode_responses: Jobcast decides"),
        ("redis://h?ssl_ca_certs=/ca", "ssl_ca_certs: only with TLS"),
        ("rediss://h?ssl_cert_reqs=foo", "ssl_cert_reqs: has to be none, optional or required"),
        ("rediss://h?ssl_include_verify_flags=foo", "ssl_include_verify_flags"),
        ("redis+sentinel://h/m?sentinel_foo=1", "sentinel_foo is no option"),
        ("redis+sentinel://h/m?sentinel_socket_timeout=x", "sentinel_socket_timeout: has to be"),
        ("redis+cluster://h?timeout=1", "timeout is no option"),
        ("unix:///run/redis.sock?socket_keepalive=1", "socket_keepalive is no option"),
        ("unix://run/redis.sock", "whole path"),
        ("unix://", "whole path"),
        ("redis://h:6379/0#x", "no host and port"),
        ("redis://h\n:6379", "no host and port"),
    ],
)
def test_what_can_not_be_meant_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_address(url)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "option", ["foo=1", "foo", "connection_class=x", "retry=1", "host=a", "credential_provider=x"]
)
def test_an_option_of_nobody_is_named_wherever_a_url_is_read(kind: str, option: str) -> None:
    name = option.partition("=")[0]
    for read in (parse_address, connect, jobcast.connect, QueueRedis):
        with pytest.raises(ValueError, match=f"^{name} is no option"):
            read(f"{KINDS[kind]}?{option}")


@pytest.mark.parametrize("kind", KINDS)
async def test_every_option_that_is_taken_is_one_of_every_client(kind: str, tls: Tls) -> None:
    options = COMMON
    if "cluster" not in kind:
        options += POOLED
    if kind != "unix":
        options += "&socket_keepalive=yes"
    if "sentinel" in kind:
        options += "&sentinel_username=u&sentinel_password=p&sentinel_socket_timeout=1"
    if kind.startswith("rediss"):
        options += f"{TLS}&{tls.query}"
    url = f"{KINDS[kind]}?{options}"
    parse_address(url).check()
    connect(url)
    async with jobcast.connect(url):
        pass
    await QueueRedis(url).aclose()


@pytest.mark.parametrize("kind", ["rediss", "rediss+cluster", "rediss+sentinel"])
@pytest.mark.parametrize("name", ["ssl_ca_certs", "ssl_certfile", "ssl_keyfile"])
def test_a_file_of_tls_that_is_missing_or_none_is_named(
    kind: str, name: str, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (tmp_path / "missing.pem", tmp_path, empty):
        url = f"{KINDS[kind]}?{name}={quote(str(path))}"
        parse_address(url)
        for read in (connect, jobcast.connect):
            with pytest.raises(ValueError, match=f"^{name}"):
                read(url)


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


REFUSED = "WRONGPASS invalid username-password pair"


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (exceptions.AuthenticationError(REFUSED), REFUSED),
        (exceptions.NoPermissionError("no permissions"), "no permissions"),
        (exceptions.ResponseError("DB index is out of range"), "DB index is out of range"),
        (raised_from(OSError(), exceptions.AuthenticationError(REFUSED)), REFUSED),
        (exceptions.ConnectionError("Connection refused"), None),
        (exceptions.ConnectionError("max number of clients reached"), None),
        (exceptions.BusyLoadingError("Redis is loading the dataset in memory"), None),
        (exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"), None),
        (exceptions.ResponseError("BUSY Redis is busy running a script"), None),
        (exceptions.ResponseError("no upstream host"), None),
        (exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'"), None),
        (exceptions.ReadOnlyError("You can't write against a read only replica."), None),
        (TimeoutError(), None),
    ],
)
def test_what_passes_by_itself_is_no_refusal(error: Exception, refusal: str | None) -> None:
    assert Address.refusal_of(error) == refusal


@pytest.mark.parametrize("kind", ["redis", "rediss", "redis+cluster", "redis+sentinel"])
@pytest.mark.parametrize(
    "rest",
    [
        "user:hunter2@a:b",
        "user:hunter2/2@a:1/m",
        ":hunter2?2@a/m",
        "user:12#hunter2@a/m",
        "user:12?hunter2@a/m",
        "user:12?@hunter2/m",
        "user:hunter2@\u2100/m",
    ],
)
def test_a_refusal_names_no_password(kind: str, rest: str) -> None:
    with pytest.raises(ValueError, match="host") as refusal:
        parse_address(f"{kind}://{rest}")
    assert "hunter2" not in str(refusal.value)
