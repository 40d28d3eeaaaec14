"""A certificate for a test's own TLS server, which only the test trusts."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.valkey import HOST

_DAY: Final = timedelta(days=1)


class Certificate:
    """A self-signed certificate of the tests' host with its key, in one PEM file.

    ``owner`` is its common name, which must differ between the certificates that a peer trusts.
    """

    def __init__(self, folder: Path, owner: str = HOST) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, owner)])
        now = datetime.now(UTC)
        hosts = x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))])
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(hosts, critical=False)
            .sign(key, hashes.SHA256())
        )
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.path: Final = folder / "certificate.pem"
        self.path.write_bytes(secret + certificate.public_bytes(Encoding.PEM))

    def client_context(self, *protocols: str) -> ssl.SSLContext:
        """Return the context of a client that trusts only this certificate.

        Args:
            protocols: protocols to offer by ALPN, the preferred one first.
        """
        context = ssl.create_default_context(cafile=self.path)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context
