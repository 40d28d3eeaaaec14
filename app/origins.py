"""Normalization of configured origins to the form that browsers send.

Browsers serialize an origin in one way (WHATWG URL and HTML standards) and CORS compares strings:
``https://App.Example.com:443`` would never match. An origin without such a form is rejected.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final
from unicodedata import ucd_3_2_0

_ORIGIN: Final = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[^\]]*\]|[^/?#@\\:\[\]]+)(?::([0-9]+))?"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
"""A host that browsers parse as an IPv4 address, because its last label is a number."""

_OPAQUE_HOST: Final = re.compile(r"[A-Za-z0-9._~-]+")
_IDNA_2003_MAPPED: Final = frozenset("ßς\u200c\u200d")
"""Characters that Python's IDNA 2003 replaces and browsers keep."""

_UNSENT_SCHEMES: Final = frozenset(
    {"about", "blob", "data", "file", "ftp", "javascript", "ws", "wss"}
)
_MAX_PORT: Final = 65_535


def parse_origins(texts: Iterable[str]) -> tuple[str, ...]:
    """Return origins as browsers send them, without duplicates.

    Args:
        texts: configured origins, or ``*``.

    Raises:
        ValueError: an origin is invalid; the message quotes it.
    """
    return tuple(dict.fromkeys(origin for text in texts for origin in _parse(text)))


def _parse(text: str) -> tuple[str, ...]:
    if text == "*":
        return (text,)
    if text.lower() == "null":
        raise ValueError(
            f"{text!r} is what any sandboxed page and any file sends, so it is nobody's"
        )
    if "*" in text:
        raise ValueError(
            f"{text!r}: a part can't be a wildcard; name each origin, or allow all by * alone"
        )
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no origin: that is scheme://host or scheme://host:port, without user, "
            "path, query and final slash"
        )
    scheme, host, port = match[1].lower(), match[2], match[3]
    if scheme in _UNSENT_SCHEMES:
        raise ValueError(f"{text!r}: no browser sends an origin with the scheme {scheme}")
    try:
        number = None if port is None else _port(port)
        if scheme not in _DEFAULT_PORTS:
            return _custom_scheme(scheme, host, number)
        shown = "" if number in {None, _DEFAULT_PORTS[scheme]} else f":{number}"
        return (f"{scheme}://{_host(host)}{shown}",)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None


def _custom_scheme(scheme: str, host: str, port: int | None) -> tuple[str, ...]:
    """Return the origins of an app or extension, such as ``capacitor://localhost``.

    Chromium sends the host in lower case, WebKit unchanged.
    """
    if _OPAQUE_HOST.fullmatch(host) is None:
        raise ValueError("the host may have ASCII letters, digits, . _ ~ and -")
    end = "" if port is None else f":{port}"
    return tuple(dict.fromkeys(f"{scheme}://{each}{end}" for each in (host, host.lower())))


def _port(text: str) -> int:
    if len(text) > 5 or not 0 < int(text) <= _MAX_PORT:  # noqa: PLR2004 - digits of 65535
        raise ValueError(f"a port is a number from 1 to {_MAX_PORT}")
    return int(text)


def _host(text: str) -> str:
    if text.startswith("["):
        return f"[{_ipv6(text[1:-1])}]"
    host = _ascii(text)
    if _HOST.fullmatch(host) is None:
        raise ValueError("there is no such host name")
    if _NUMBER.fullmatch(host) is not None:
        _check_ipv4(host)
    return host


def _ascii(text: str) -> str:
    """Return a host name in lower case and punycode."""
    if text.isascii():
        return text.lower()
    try:
        if any(each in _IDNA_2003_MAPPED or ucd_3_2_0.category(each) == "Cn" for each in text):
            raise ValueError  # noqa: TRY301 - the same message as below
        return text.encode("idna").decode().lower()
    except ValueError:
        raise ValueError("write the host as browsers send it, in punycode (xn--…)") from None


def _check_ipv4(host: str) -> None:
    try:
        is_canonical = str(ipaddress.IPv4Address(host)) == host
    except ValueError:
        is_canonical = False
    if not is_canonical:
        raise ValueError("write an IPv4 address as browsers send it: four decimal numbers")


def _ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("there is no such IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an IPv6 address has no zone in an origin")
    mapped = address.ipv4_mapped
    if mapped is None:
        return address.compressed
    return f"::ffff:{int(mapped) >> 16:x}:{int(mapped) & 0xFFFF:x}"  # without dots, as browsers do
