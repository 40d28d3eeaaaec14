"""What HTTP/2 and TLS cost a delivery, and what a stream that nobody reads costs the others."""

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.case import AtLeast, Bar, Case, Sample, Subject
from benchmarks.crowd import all_here, percentile
from benchmarks.jobs import job_ids, prepare
from benchmarks.meter import Meter, without_collector
from benchmarks.processes import HOST, SERVER_CORE, Process
from benchmarks.secure_crowd import STREAMS, SecureCrowd, Speaks
from benchmarks.servers import environment, stream_request, valkey
from benchmarks.wire import AppendScript
from benchmarks.workers import Workers

_VIEWERS: Final = 1000
_PER_S: Final = 10
_STARVED: Final = 10
_WARM_UP_S: Final = 2.0
_NS_PER_MS: Final = 1e6
_US_PER_S: Final = 1e6
_P99_MS: Final = "p99 ms"
_JOIN_S: Final = 60.0


@dataclass(frozen=True)
class Way:
    """How viewers come.

    Attributes:
        speaks: the protocol.
        tls: whether over TLS.
        starved: of how many the client reads nothing.
    """

    speaks: Speaks
    tls: bool
    starved: int = 0


async def deliver(way: Way, seconds: float) -> Sample:
    """Publish events of one job and measure their deliveries to those who read.

    Args:
        way: how they come.
        seconds: how long.
    """
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(valkey())
        server = stack.enter_context(_service(redis.port, tls=way.tls))
        jobs, empty_kib = job_ids(1), server.rss_kib()
        wire = AppendScript(prepare(redis.port, jobs))
        requests = [stream_request(jobs[0])] * _VIEWERS
        crowd = SecureCrowd(
            server.port,
            requests,
            b"progress-update",
            speaks=way.speaks,
            tls=way.tls,
            starved=way.starved,
        )
        await stack.enter_async_context(crowd)
        joined_s = await crowd.join(wait_s=_JOIN_S)
        if crowd.refused:
            return Sample(failure=f"{crowd.refused} streams refused")
        workers = Workers(wire, jobs, redis.port)
        await stack.enter_async_context(workers)
        await workers.connect()
        readers = _VIEWERS - way.starved
        await all_here([crowd], await workers.publish(_PER_S, _WARM_UP_S) * readers)
        await crowd.seen()
        with without_collector():
            meter = Meter([server], redis, [crowd, workers])
            expected = await workers.publish(_PER_S, seconds) * readers
            await all_here([crowd], expected)
            meter.stop()
        seen = await crowd.seen()
        more = {
            "p50 ms": percentile(seen.notes_ns, 50) / _NS_PER_MS,
            _P99_MS: percentile(seen.notes_ns, 99) / _NS_PER_MS,
            "KiB a viewer": (server.rss_kib() - empty_kib) / _VIEWERS,
            "joined s": joined_s,
            **meter.shares(),
        }
        failure = None
        if len(seen.notes_ns) != expected or seen.lost:
            failure = f"{len(seen.notes_ns)} of {expected} deliveries, {seen.lost} streams lost"
        return Sample(meter.server_s / max(1, len(seen.notes_ns)) * _US_PER_S, more, failure)


def _service(redis_port: int, *, tls: bool) -> Process:
    """Return the service as it is deployed, with TLS of its own or without."""
    quiet = ("--log-level", "WARNING", "--access-logfile", "/dev/null")
    listen = ("--config", "hypercorn.toml", "--bind", f"{HOST}:{{port}}")
    file = "{folder}/certificate.pem"
    secure = ("--certfile", file, "--keyfile", file) if tls else ()
    command = [sys.executable, "-m", "hypercorn", *quiet, *listen, *secure, "app:create_app()"]
    files = {"certificate.pem": _certificate()}
    return Process(command, SERVER_CORE, environment(redis_port), files)


def _certificate() -> str:
    """Return a self-signed certificate with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now, day = datetime.now(UTC), timedelta(days=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (secret + signed.public_bytes(Encoding.PEM)).decode()


def _subject(name: str, way: Way, bars: Sequence[Bar] = ()) -> Subject:
    return Subject(name, partial(deliver, way), bars)


HTTP2: Final = Case(
    "http2",
    f"1 job, {_VIEWERS:,} viewers, {_PER_S} events/s; with HTTP/2 {STREAMS} share a connection",
    "µs of CPU a delivery",
    [
        _subject("HTTP/2 with TLS", Way("h2", tls=True)),
        _subject(
            f"… {_STARVED} streams unread",
            Way("h2", tls=True, starved=_STARVED),
            [AtLeast(0.5, _P99_MS)],
        ),
        _subject("HTTP/1.1 with TLS", Way("http/1.1", tls=True)),
        _subject("HTTP/1.1", Way("http/1.1", tls=False)),
    ],
)
