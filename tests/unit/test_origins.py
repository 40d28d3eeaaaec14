"""Origins as operators write them and as browsers send them."""

import pytest

from app.origins import parse_origins


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("https://App.Example.COM", "https://app.example.com"),
        ("HTTPS://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("https://app.example.com:08443", "https://app.example.com:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:443", "https://xn--bcher-kva.example"),
        ("https://例え。テスト", "https://xn--r8jz45g.xn--zckzah"),
        ("https://xn--BCHER-kva.example", "https://xn--bcher-kva.example"),
        ("https://a_b.example.", "https://a_b.example."),
        ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://[2001:DB8::A]:443", "https://[2001:db8::a]"),
        ("https://[::ffff:1.2.3.4]", "https://[::ffff:102:304]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Ionic://localhost", "ionic://localhost"),
        ("tauri://localhost", "tauri://localhost"),
        ("app://-", "app://-"),
        ("app://bundle:80", "app://bundle:80"),
        (
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        ),
        (
            "moz-extension://2c3a1f7e-9d52-4b6f-8a0e-0123456789ab",
            "moz-extension://2c3a1f7e-9d52-4b6f-8a0e-0123456789ab",
        ),
        ("*", "*"),
    ],
)
def test_an_origin_is_made_to_what_browsers_send(written: str, sent: str) -> None:
    assert parse_origins([written]) == (sent,)


def test_the_host_of_an_extension_is_allowed_in_both_spellings() -> None:
    written = "safari-web-extension://0C5E-AB"
    assert parse_origins([written]) == (written, written.lower())


def test_each_origin_is_there_once() -> None:
    written = ["https://b.example", "https://a.example", "https://B.example:443"]
    assert parse_origins(written) == ("https://b.example", "https://a.example")


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("https://*.example.com", "a part can't be a wildcard"),
        ("https://app.*", "a part can't be a wildcard"),
        ("*.example.com", "a part can't be a wildcard"),
        ("https://*", "a part can't be a wildcard"),
        ("https://app.example.com:*", "a part can't be a wildcard"),
        ("capacitor://*", "a part can't be a wildcard"),
        ("null", "so it is nobody's"),
        ("NULL", "so it is nobody's"),
        ("app.example.com", "is no origin"),
        ("//app.example.com", "is no origin"),
        ("https://", "is no origin"),
        ("https:app.example.com", "is no origin"),
        ("https:///app.example.com", "is no origin"),
        ("https://app.example.com/", "final slash"),
        ("https://app.example.com/path", "is no origin"),
        ("https://app.example.com?query", "is no origin"),
        ("https://app.example.com#part", "is no origin"),
        ("https://app.example.com\\path", "is no origin"),
        ("https://user@app.example.com", "is no origin"),
        ("https://user:pass@app.example.com", "is no origin"),
        ("https://app.example.com:", "is no origin"),
        ("https://app.example.com:http", "is no origin"),
        ("https://app.example.com:0", "a port is a number"),
        ("https://app.example.com:65536", "a port is a number"),
        ("https://app..example.com", "no such host name"),
        ("https://.example.com", "no such host name"),
        ("https://app%2eexample.com", "no such host name"),
        ("https://app'example.com", "no such host name"),
        (f"https://{'a' * 64}.example", "no such host name"),
        ("https://straße.example", "punycode"),
        ("https://💡.example", "punycode"),
        ("https://\u0378.example", "punycode"),
        ("http://127.1", "four decimal numbers"),
        ("http://0x7f.0.0.1", "four decimal numbers"),
        ("http://2130706433", "four decimal numbers"),
        ("http://127.0.0.01", "four decimal numbers"),
        ("http://256.0.0.1", "four decimal numbers"),
        ("http://[::1", "is no origin"),
        ("http://[::g]", "no such IPv6 address"),
        ("http://[fe80::1%eth0]", "no zone"),
        ("ws://app.example.com", "no browser sends"),
        ("file://localhost", "no browser sends"),
        ("data://x", "no browser sends"),
        ("capacitor://loc alhost", "the host may have"),
        ("tauri://bücher", "the host may have"),
        ("1app://localhost", "is no origin"),
    ],
)
def test_what_no_browser_sends_is_refused(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        parse_origins(["https://good.example", written])
    assert written in str(refusal.value) or repr(written) in str(refusal.value)
