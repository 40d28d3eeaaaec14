"""A Redis for tests that speaks nothing but TLS, and only with those who show a certificate."""

import os
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest
import redis

from tests.certificate import Certificate
from tests.valkey import HOST, Valkey

_PROGRAM: Final = shutil.which("redis-server")
"""Debian's: the Valkey of the tests is built without TLS."""


class TlsRedis(Valkey):
    """One server with a certificate of its own, which lets one client certificate in.

    ``url`` brings the client certificate, ``url_without_certificate`` does not. Where no
    ``redis-server`` is installed, making one skips the test; in continuous integration it fails.
    """

    def __init__(self, *options: str) -> None:
        if _PROGRAM is None:
            refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            refuse("needs a redis-server that speaks TLS")
        super().__init__(*options)
        self._server = _certificate(self.folder / "server")
        self._client = _certificate(self.folder / "client")
        trusted = {"ssl_ca_certs": str(self._server)}
        shown = {"ssl_certfile": str(self._client), "ssl_keyfile": str(self._client)}
        server = f"rediss://{HOST}:{self.port}/0"
        self.url = f"{server}?{urlencode(trusted | shown)}"
        self.url_without_certificate = f"{server}?{urlencode(trusted)}"

    def client(self) -> redis.Redis:
        """Return a client that shows its certificate."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def command(self) -> list[str]:
        """Return what starts the server in the foreground."""
        _, *options = super().command()
        return [
            str(_PROGRAM),
            *options,
            *("--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "yes"),
            *("--tls-cert-file", str(self._server), "--tls-key-file", str(self._server)),
            *("--tls-ca-cert-file", str(self._client)),
        ]


def _certificate(folder: Path) -> Path:
    folder.mkdir()
    return Certificate(folder).path
