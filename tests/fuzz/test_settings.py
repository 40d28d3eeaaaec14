"""Environments of every kind: they make settings, or the error names a variable."""

import json
import tempfile
from collections.abc import Mapping

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from app.lifecycle import build
from app.settings import InvalidSettings, Settings, settings_from, variable
from tests.fuzz.bounds import bounded
from tests.fuzz.corpus import Corpus
from tests.support.keys import PAIRS
from worker import settings as worker_settings

CORPUS = Corpus("settings")
NAMES = sorted({variable(field.name) for field in msgspec.structs.fields(Settings)})
OF_THE_WORKER = [
    "REDIS_URL",
    *(f"JOBCAST_{n}" for n in ("CONCURRENCY", "FILES_ROOT", "GRACE_S", "QUEUE")),
]
HARD = [
    *("0", "1", "-1", "60", "1e9", "1e999", "nan", "inf", "1_0", "0x10", "\u0661", "\xb2"),
    *("9" * 30, "9" * 5000, "true", "YES", "on", ",", " , ", "HS256", "HS256,RS256", "none"),
    *("ES256 EdDSA", "*", "null", "redis://", "redis://h:x/0", "redis://h:99999", "redis://[::1"),
    *("redis://[::1]:1/x", "unix://", "redis://%ff@h", "http://h", "http://[::1", "https://h"),
    *("redis+sentinel://h:1,h:2/name", "redis+sentinel://h/n?sentinel_x=1", "redis+sentinel://,/n"),
    *("redis+cluster://h:1", "redis+cluster://h?x=y", "rediss+cluster://h:x", "redis+cluster://"),
    *(
        f"redis://h?{option}"
        for option in (
            *(
                "socket_timeout=x",
                "db=x",
                "max_connections=0",
                "protocol=9",
                "protocol=x",
                "retry=1",
            ),
            *("health_check_interval=x", "decode_responses=maybe", "timeout=x", "x=y", "host=a"),
            *("connection_class=x", "ssl_ca_certs=/nowhere", "socket_keepalive=x", "encoding=x"),
        )
    ),
    *("rediss://h?ssl_cert_reqs=x", "rediss://h?ssl_ca_certs=/nowhere", "rediss://h?ssl_x=y"),
    *(tempfile.gettempdir(), "/dev/null", "/nowhere", "a" * 5000, "x\ny", "\ud800", "\udcff", "{}"),
    *("-----BEGIN PUBLIC KEY-----", PAIRS["RS256"].pem, PAIRS["ES256"].pem, "a:b", "__Host-t"),
]
texts = st.sampled_from(HARD) | st.text(
    st.characters(exclude_characters="\0"), max_size=20
)  # an environment holds no NUL


def environments(names: list[str]) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(names), texts, max_size=5).map(
        lambda given: {"JWT_SECRET": "secret", **given}
    )


def check_service(environment: Mapping[str, str]) -> None:
    """Check that the parts of a service are built, or that the error says what is wrong."""
    with CORPUS.trying(json.dumps(environment).encode()):
        try:
            build(settings_from(environment))
        except InvalidSettings as error:
            told = str(error)
        else:
            return
        assert any(name in told for name in NAMES), told


def check_worker(environment: Mapping[str, str]) -> None:
    """Check that a worker has its settings, or that the error says what is wrong."""
    with CORPUS.trying(json.dumps(environment).encode()):
        try:
            worker_settings.Settings.from_environment(environment)
        except worker_settings.InvalidSettings as error:
            told = str(error)
        else:
            return
        assert any(name in told for name in OF_THE_WORKER), told


def test_a_service_is_built_or_the_wrong_variable_is_named() -> None:
    @bounded(300)
    @given(environments(NAMES))
    @example({"JWT_SECRET": "secret"})
    def tried(environment: dict[str, str]) -> None:
        check_service(environment)

    with CORPUS.keeping():
        tried()


def test_a_worker_has_settings_or_the_wrong_variable_is_named() -> None:
    @bounded(300)
    @given(environments(OF_THE_WORKER))
    def tried(environment: dict[str, str]) -> None:
        check_worker(environment)

    with CORPUS.keeping():
        tried()


@CORPUS.each()
def test_what_once_was_a_surprise_is_none(kept: bytes) -> None:
    check_service(json.loads(kept))
    check_worker(json.loads(kept))
