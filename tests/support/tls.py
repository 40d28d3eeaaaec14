"""TLS between Redis and its clients, with a certificate for each side."""

import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import pytest

from tests.support.certificate import Certificate
from tests.support.needs import TLS_REDIS

_PROGRAM: Final = shutil.which("redis-server")
"""Debian's Redis, as the Valkey of the tests is built without TLS."""


class Tls:
    """The certificates of a server and its clients, in an existing folder.

    Skips the test if no ``redis-server`` is installed.

    Attributes:
        client_options: options of a redis-py client with the certificate that the server accepts.
        query: the same options in the query of a URL.
        query_without_certificate: options of a client without a certificate.
    """

    def __init__(self, folder: Path) -> None:
        if _PROGRAM is None:
            pytest.skip(TLS_REDIS)
        self.program: Final = str(_PROGRAM)
        self._server = _certificate(folder / "server")
        self._client = _certificate(folder / "client")
        # Servers also connect to each other, so they trust both certificates.
        self._trusted = folder / "trusted.pem"
        self._trusted.write_bytes(self._server.read_bytes() + self._client.read_bytes())
        trusted = {"ssl_ca_certs": str(self._server)}
        shown = {"ssl_certfile": str(self._client), "ssl_keyfile": str(self._client)}
        self.client_options: Final = trusted | shown
        self.query: Final = urlencode(self.client_options)
        self.query_without_certificate: Final = urlencode(trusted)

    def server_options(self, port: int) -> dict[str, str]:
        """Return the options of a server, or of a Sentinel, that only accepts TLS."""
        return {
            "port": "0",
            "tls-port": str(port),
            "tls-auth-clients": "yes",
            "tls-replication": "yes",
            "tls-cluster": "yes",
            "tls-cert-file": str(self._server),
            "tls-key-file": str(self._server),
            "tls-ca-cert-file": str(self._trusted),
        }


def _certificate(folder: Path) -> Path:
    folder.mkdir()
    return Certificate(folder, folder.name).path
