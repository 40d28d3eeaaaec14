"""Bytes of every kind to the service's port: it answers in HTTP or closes."""

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import jobcast
from tests.fuzz.answers import answers, check
from tests.fuzz.bounds import bounded
from tests.fuzz.bystander import undisturbed
from tests.fuzz.connections import JOB, connections
from tests.fuzz.corpus import Corpus
from tests.support.service import SESSION, Service
from tests.support.valkey import HOST, Valkey

AT_ONCE: Final = 25
PIECE: Final = 7
MOST_IN_PIECES: Final = 1000
SILENCE_SECONDS: Final = 0.1
"""After so long without a byte nothing more is waited for: many requests are not whole."""
GOODBYE_SECONDS: Final = 1.0
CLOSE_SECONDS: Final = 10.0
STREAM: Final = b"text/event-stream"
CORPUS: Final = Corpus("http")
NOT_HTTP_1: Final = (b"PRI * HTTP/2.0", b"h2c", b"websocket")

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


async def answered(port: int, sent: bytes, *, in_pieces: bool) -> bytes:
    """Send bytes over a connection and return what comes back until the service closes it."""
    reader, writer = await asyncio.open_connection(HOST, port)
    received = bytearray()
    size = PIECE if in_pieces else len(sent) or 1
    try:
        for start in range(0, len(sent), size):
            writer.write(sent[start : start + size])
            await writer.drain()
        if await silent(reader, received, SILENCE_SECONDS):
            writer.write_eof()
            # Who only sends no more may still be sent events, until it is gone altogether.
            if await silent(reader, received, GOODBYE_SECONDS) and STREAM not in received:
                assert not await silent(reader, received, CLOSE_SECONDS), "it was not closed"
    except ConnectionError:
        pass  # closed while there was more to send
    finally:
        writer.close()
    return bytes(received)


async def silent(reader: asyncio.StreamReader, received: bytearray, seconds: float) -> bool:
    """Collect what comes until the end (False), or until nothing has come for as long."""
    try:
        while data := await asyncio.wait_for(reader.read(65536), seconds):
            received += data
    except TimeoutError:
        return True
    return False


async def is_in_order(service: Service, sent: bytes, *, in_pieces: bool = False) -> None:
    with CORPUS.trying(sent):
        received = await answered(service.port, sent, in_pieces=in_pieces)
        assert b"Traceback" not in received
        assert not received.startswith(b"HTTP/1.1 500 ")
        if not any(word in sent for word in NOT_HTTP_1):  # else more may come in another protocol
            for answer in answers(received):
                check(answer)


async def all_are_in_order(service: Service, sent: list[bytes], *, in_pieces: bool) -> None:
    tried = [
        is_in_order(service, each, in_pieces=in_pieces and len(each) < MOST_IN_PIECES)
        for each in sent
    ]
    for outcome in await asyncio.gather(*tried, return_exceptions=True):
        if outcome is not None:
            raise outcome


async def make_the_job(redis_url: str) -> None:
    async with jobcast.connect(redis_url) as jobs:
        await jobs.create("anything", session_id=SESSION, job_id=JOB.decode())


@pytest.fixture(scope="module")
def own_service(valkey: Valkey) -> Iterator[Service]:
    """Return a service that soon misses those who have left."""
    with Service(valkey.url, JOBCAST_KEEPALIVE_S="2") as running:
        yield running


def test_any_bytes_are_answered_in_good_order(own_service: Service, redis_url: str) -> None:
    with asyncio.Runner() as runner:
        # The input that fails is kept by itself: to make a batch of them smaller would take long.
        @settings(bounded(20), phases=[Phase.generate])
        @given(st.lists(connections, min_size=AT_ONCE, max_size=AT_ONCE), st.booleans())
        def tried(sent: list[bytes], in_pieces: bool) -> None:  # noqa: FBT001 - drawn
            runner.run(all_are_in_order(own_service, sent, in_pieces=in_pieces))

        runner.run(make_the_job(redis_url))
        with undisturbed(runner, own_service, redis_url), CORPUS.keeping():
            tried()


@CORPUS.each()
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_what_once_was_not_is_answered_in_good_order(
    own_service: Service, redis_url: str, kept: bytes, *, in_pieces: bool
) -> None:
    await make_the_job(redis_url)
    logged = len(own_service.log)
    await is_in_order(own_service, kept, in_pieces=in_pieces)
    assert "Traceback" not in own_service.log[logged:]
