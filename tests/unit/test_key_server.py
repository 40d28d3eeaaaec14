"""Fetching a key set from servers of every kind: bounded, and nothing else waits for it."""

import asyncio
import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.auth import key_server
from app.auth.key_server import KeyServer as Fetcher
from tests.support.certificate import Certificate
from tests.support.key_server import KeyServer
from tests.support.keys import PAIRS, key_set
from tests.support.waiting import PATIENCE_SECONDS, until

ALGORITHMS = frozenset({"ES256"})
SET = key_set(PAIRS["ES256"])


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with KeyServer(SET) as running:
        yield running


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a fetch take half a second as a whole, and any part of it much longer."""
    monkeypatch.setattr(key_server, "FETCH_S", 0.5)
    monkeypatch.setattr(key_server, "SILENCE_S", 10 * PATIENCE_SECONDS)


def fetching() -> bool:
    return any(thread.name == "key set" for thread in threading.enumerate())


async def key_of(fetcher: Fetcher) -> object:
    """Return the one key that is published."""
    (key,) = (await fetcher.fetch()).candidates("ES256", "ES256")
    return key


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - as short as it gets


async def why_not(url: str) -> str:
    """Return why a set can't be had."""
    with pytest.raises((OSError, ValueError)) as caught:
        await Fetcher(url, ALGORITHMS).fetch()
    return str(caught.value)


async def test_what_is_published_is_fetched(server: KeyServer) -> None:
    fetcher = Fetcher(server.url, ALGORITHMS)
    for _ in range(2):
        assert await key_of(fetcher)
        await until(lambda: not fetching())
    assert server.requests == 2


async def test_a_set_may_come_in_chunks_or_end_with_the_connection(server: KeyServer) -> None:
    fetcher = Fetcher(server.url, ALGORITHMS)
    body = SET.encode()
    for data in (
        b"HTTP/1.0 200 OK\r\n\r\n" + body,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (len(body), body),
    ):
        server.answer(data)
        assert await key_of(fetcher)
        await until(lambda: not fetching())


OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Away\r\n\r\n" + SET.encode(), "status 503"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "status 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n", "status 302, which is not followed"),
        (b"HTTP/1.1 308 Moved\r\nLocation: file:///etc/passwd\r\n\r\n", "status 308, which"),
        (b"HTTP/1.1 304 Not Modified\r\n\r\n", "status 304"),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", "no JSON Web Key Set"),
        (OK + b"<html>It works</html>", "no JSON Web Key Set"),
        (OK + SET.encode()[:-10], "no JSON Web Key Set"),
        (OK + b'{"keys":[]}', "none of its 0 keys"),
        (OK + b'{"keys":[' + b" " * key_server.MAX_BYTES + b"]}", "larger than"),
        (b"SSH-2.0\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000, "no HTTP"),
        (b"", ""),
    ],
)
async def test_any_other_answer_is_no_key_set(
    server: KeyServer, answer: bytes, reason: str
) -> None:
    server.answer(answer)
    assert reason in await why_not(server.url)
    await until(lambda: not fetching())
    assert server.requests == 1


async def test_a_server_that_is_not_there_is_no_key_set(server: KeyServer) -> None:
    server.close()
    assert "refused" in await why_not(server.url)
    assert await why_not("http://name.invalid/keys")


ENDLESS: dict[str, Callable[[KeyServer], None]] = {
    "mute": lambda server: server.mute(),
    "a byte now and then": lambda server: server.trickle(),
    "headers now and then": lambda server: server.trickle(b"HTTP/1.1 200 OK\r\nX: "),
    "a body now and then": lambda server: server.trickle(b"HTTP/1.1 200 OK\r\n\r\n"),
    "not now": lambda server: server.trickle(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 1"),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_a_fetch_is_bounded_in_time(impatient: None, server: KeyServer, kind: str) -> None:
    ENDLESS[kind](server)
    assert "no whole answer" in await why_not(server.url)
    await until(lambda: not fetching())


async def test_a_fetch_is_bounded_in_time_before_tls_is_spoken(
    impatient: None, server: KeyServer
) -> None:
    server.mute(reads=False)
    assert "no whole answer" in await why_not(server.url.replace("http:", "https:"))
    await until(lambda: not fetching())


async def test_a_fetch_is_bounded_in_size(server: KeyServer) -> None:
    server.pour()
    assert "larger than" in await why_not(server.url)
    await until(lambda: not fetching())


async def test_nothing_waits_for_a_fetch(impatient: None, server: KeyServer) -> None:
    """Neither the loop nor its own threads, whose number is bounded."""
    server.mute()
    fetch = asyncio.create_task(why_not(server.url))
    await until(lambda: server.requests == 1)
    here = await asyncio.to_thread(threading.current_thread)
    assert here.name != "key set"
    assert not fetch.done()
    await fetch


async def test_there_is_never_more_than_one_fetch(
    impatient: None, server: KeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is not resolved can't be cut off from outside: its thread is waited for."""
    resolved = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: resolved.wait() and [])
    fetcher = Fetcher(server.url, ALGORITHMS)
    with pytest.raises(TimeoutError, match="no whole answer"):
        await fetcher.fetch()
    with pytest.raises(TimeoutError, match="an earlier fetch has not ended"):
        await fetcher.fetch()
    resolved.set()
    await until(lambda: not fetching())
    monkeypatch.undo()
    assert await key_of(fetcher)


def test_a_loop_that_has_ended_meanwhile_is_no_error(server: KeyServer) -> None:
    let_go = threading.Event()

    def wait(_: socket.socket) -> None:
        let_go.wait()

    server.behave(wait)

    async def scenario() -> None:
        fetch = asyncio.create_task(Fetcher(server.url, ALGORITHMS).fetch())
        await until(lambda: server.requests == 1)
        fetch.cancel()

    asyncio.run(scenario())
    let_go.set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while fetching():
        assert time.monotonic() < deadline


async def test_no_socket_is_left_behind(server: KeyServer) -> None:
    fetcher = Fetcher(server.url, ALGORITHMS)
    await fetcher.fetch()
    await until(lambda: not fetching())
    before = open_files()
    for answer in (OK + SET.encode(), b"HTTP/1.1 503 Away\r\n\r\n", b""):
        server.answer(answer)
        await asyncio.gather(fetcher.fetch(), return_exceptions=True)
        await until(lambda: not fetching())
    gc.collect()
    await until(lambda: open_files() <= before)


async def test_a_set_is_fetched_by_tls_from_a_server_that_is_known(
    server: KeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.path)
    body = SET.encode()

    def speak(connection: object) -> None:
        with tls.wrap_socket(connection, server_side=True) as secured:  # type: ignore[arg-type]
            secured.recv(4096)
            secured.sendall(OK + body)

    server.behave(speak, reads=False)
    url = server.url.replace("http:", "https:")
    assert "CERTIFICATE_VERIFY_FAILED" in await why_not(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.path))
    assert await key_of(Fetcher(url, ALGORITHMS))


def test_what_the_log_shows_of_a_url_holds_no_secret() -> None:
    name = Fetcher("https://issuer.example:8443/keys?api_key=hidden#there", ALGORITHMS).name
    assert name == "https://issuer.example:8443/keys"
