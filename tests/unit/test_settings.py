"""What an operator may set, and how a mistake is answered."""

import logging
from pathlib import Path

import msgspec
import pytest

from app.settings import InvalidSettings, Settings, settings_from, variable
from tests.support.keys import PAIRS
from worker.settings import Settings as WorkerSettings

ENOUGH = {"JWT_SECRET": "secret"}


def test_a_secret_is_enough() -> None:
    assert settings_from(ENOUGH) == Settings(jwt_secret="secret")


def test_every_setting_can_be_set(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text(PAIRS["RS256"].pem)
    given = {
        "REDIS_URL": "rediss://redis.example:6380/1",
        "JWT_SECRET": "secret",
        "JOBCAST_JWT_ALGORITHMS": "HS512, RS256",
        "JOBCAST_JWT_PUBLIC_KEY": str(file),
        "JOBCAST_JWT_ISSUER": "us",
        "JOBCAST_JWT_AUDIENCE": "jobs",
        "JOBCAST_NBF_LEEWAY_S": "7",
        "JOBCAST_EXP_LEEWAY_S": "1.5",
        "JOBCAST_COOKIE_NAME": "__Host-token",
        "JOBCAST_DEMO": "yes",
        "JOBCAST_STREAM_MAX_AGE_S": "60",
        "JOBCAST_KEEPALIVE_S": "0.5",
        "JOBCAST_NOTICE_S": "0",
        "JOBCAST_GRACE_S": "1",
        "JOBCAST_RECONNECTS_PER_S": "50",
        "JOBCAST_STALL_GRACE_S": "2.5",
        "JOBCAST_RETENTION_S": "60",
        "JOBCAST_LOG_ENTRIES": "100",
        "JOBCAST_EVENT_BYTES": "2048",
        "JOBCAST_STREAMS_PER_OWNER": "1",
        "JOBCAST_STREAMS_PER_JOB": "2",
        "JOBCAST_STREAMS_PER_PROCESS": "3",
        "JOBCAST_MAILBOX_BYTES": "2048",
        "JOBCAST_CORS_ORIGINS": "https://A.example:443 http://localhost:3000",
        "JOBCAST_CORS_HEADERS": "X-Request-ID, x-tenant",
        "JOBCAST_TRUST_FORWARDED_PREFIX": "1",
        "JOBCAST_DIRECT_WRITE": "0",
        "JOBCAST_QUEUE_KIND": "rq",
        "JOBCAST_QUEUE_URL": "redis://queue.example/0",
        "JOBCAST_QUEUE_TASKS": "report=shop.tasks.report, mail=shop.mail",
        "JOBCAST_QUEUE": "reports",
        "JOBCAST_FILES_ROOT": str(tmp_path),
    }
    settings = settings_from(given)
    assert settings == Settings(
        redis_url="rediss://redis.example:6380/1",
        jwt_secret="secret",
        jwt_algorithms=("HS512", "RS256"),
        jwt_public_key=str(file),
        jwt_issuer="us",
        jwt_audience="jobs",
        nbf_leeway_s=7,
        exp_leeway_s=1.5,
        cookie_name="__Host-token",
        demo=True,
        stream_max_age_s=60,
        keepalive_s=0.5,
        notice_s=0,
        grace_s=1,
        reconnects_per_s=50,
        stall_grace_s=2.5,
        retention_s=60,
        log_entries=100,
        event_bytes=2048,
        streams_per_owner=1,
        streams_per_job=2,
        streams_per_process=3,
        mailbox_bytes=2048,
        cors_origins=("https://a.example", "http://localhost:3000"),
        cors_headers=("x-request-id", "x-tenant"),
        trust_forwarded_prefix=True,
        direct_write=False,
        queue_kind="rq",
        queue_url="redis://queue.example/0",
        queue_tasks=("report=shop.tasks.report", "mail=shop.mail"),
        queue="reports",
        files_root=str(tmp_path),
    )
    known = {variable(field.name) for field in msgspec.structs.fields(Settings)}
    assert known - set(given) == {"JOBCAST_JWT_JWKS"}


def test_an_empty_text_is_unset() -> None:
    empty = {variable(field.name): " " for field in msgspec.structs.fields(Settings)}
    assert settings_from({**empty, **ENOUGH}) == settings_from(ENOUGH)


def test_a_secret_is_taken_as_it_is_given() -> None:
    for text in (" secret", "secret\t ", "secret\r\n"):
        assert settings_from({"JWT_SECRET": text}).jwt_secret == text


def test_streams_and_jobs_may_end_at_once_at_a_shutdown() -> None:
    given = {**ENOUGH, "JOBCAST_GRACE_S": "0"}
    assert settings_from(given).grace_s == WorkerSettings.from_environment(given).grace_s == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("REDIS_URL", "http://redis.example"),
        ("REDIS_URL", "redis.example:6379"),
        ("JOBCAST_JWT_ALGORITHMS", "none"),
        ("JOBCAST_JWT_ALGORITHMS", "HS256,NONE"),
        ("JOBCAST_JWT_ALGORITHMS", "hs256"),
        ("JOBCAST_JWT_ALGORITHMS", ","),
        ("JOBCAST_JWT_ALGORITHMS", "PS256"),
        ("JOBCAST_JWT_PUBLIC_KEY", "/there/is/no/such.pem"),
        ("JOBCAST_JWT_JWKS", "/there/is/no/such.json"),
        ("JOBCAST_COOKIE_NAME", "a b"),
        ("JOBCAST_COOKIE_NAME", "token;"),
        ("JOBCAST_DEMO", "maybe"),
        ("JOBCAST_STREAM_MAX_AGE_S", "0"),
        ("JOBCAST_STREAM_MAX_AGE_S", "-1"),
        ("JOBCAST_STREAM_MAX_AGE_S", "nan"),
        ("JOBCAST_STREAM_MAX_AGE_S", "inf"),
        ("JOBCAST_STREAM_MAX_AGE_S", "10m"),
        ("JOBCAST_STREAM_MAX_AGE_S", "0.09"),
        ("JOBCAST_STREAM_MAX_AGE_S", "1e-300"),
        ("JOBCAST_KEEPALIVE_S", "0"),
        ("JOBCAST_KEEPALIVE_S", "1e-300"),
        ("JOBCAST_KEEPALIVE_S", "never"),
        ("JOBCAST_GRACE_S", "-5"),
        ("JOBCAST_STALL_GRACE_S", "0.5"),
        ("JOBCAST_RETENTION_S", "1.5"),
        ("JOBCAST_RETENTION_S", "0"),
        ("JOBCAST_RETENTION_S", "315360001"),
        ("JOBCAST_RETENTION_S", "9" * 30),
        ("JOBCAST_LOG_ENTRIES", "9"),
        ("JOBCAST_LOG_ENTRIES", "1000001"),
        ("JOBCAST_STREAMS_PER_OWNER", "0"),
        ("JOBCAST_STREAMS_PER_JOB", "many"),
        ("JOBCAST_STREAMS_PER_PROCESS", "-1"),
        ("JOBCAST_STREAMS_PER_PROCESS", "9" * 4300),
        ("JOBCAST_RECONNECTS_PER_S", "9" * 400),
        ("JOBCAST_MAILBOX_BYTES", "9" * 400),
        ("JOBCAST_MAILBOX_BYTES", "1023"),
        ("JOBCAST_CORS_ORIGINS", "a.example"),
        ("JOBCAST_CORS_ORIGINS", "https://a.example/"),
        ("JOBCAST_CORS_ORIGINS", "https://a.example https://b.example/path"),
        ("JOBCAST_CORS_ORIGINS", "https://"),
        ("JOBCAST_CORS_ORIGINS", "null"),
        ("JOBCAST_CORS_ORIGINS", "https://a.example https://*.example.com"),
        ("JOBCAST_CORS_HEADERS", "*"),
        ("JOBCAST_CORS_HEADERS", "x-tenant:"),
        ("JOBCAST_CORS_HEADERS", "x-tenant, x(y)"),
        ("JOBCAST_CORS_HEADERS", "x-tenänt"),
        ("JOBCAST_CORS_HEADERS", "Cookie"),
        ("JOBCAST_CORS_HEADERS", "x-tenant,Sec-Fetch-Mode"),
        ("JOBCAST_CORS_HEADERS", "proxy-authorization"),
        ("JOBCAST_DIRECT_WRITE", "on?"),
        ("JOBCAST_QUEUE", "a:b"),
        ("JOBCAST_QUEUE", "a b"),
    ],
)
def test_a_value_that_cant_be_meant_is_named(name: str, text: str) -> None:
    algorithms = {"JOBCAST_JWT_ALGORITHMS": "RS256"} if "JWT" in name else {}
    with pytest.raises(InvalidSettings, match=f"^{name}: "):
        settings_from({**ENOUGH, **algorithms, name: text})


def test_a_public_key_and_its_algorithms_belong_together() -> None:
    pem = PAIRS["RS256"].pem
    with pytest.raises(InvalidSettings, match="JOBCAST_JWT_ALGORITHMS: a public key needs one of"):
        settings_from({**ENOUGH, "JOBCAST_JWT_PUBLIC_KEY": pem})
    with pytest.raises(InvalidSettings, match="JOBCAST_JWT_PUBLIC_KEY or JOBCAST_JWT_JWKS: needed"):
        settings_from({**ENOUGH, "JOBCAST_JWT_ALGORITHMS": "RS256"})
    with pytest.raises(InvalidSettings, match="JOBCAST_JWT_PUBLIC_KEY and JOBCAST_JWT_JWKS"):
        settings_from(
            {
                "JOBCAST_JWT_ALGORITHMS": "RS256",
                "JOBCAST_JWT_PUBLIC_KEY": pem,
                "JOBCAST_JWT_JWKS": "https://keys.example/jwks.json",
            }
        )


def test_nothing_secret_is_built_in() -> None:
    with pytest.raises(InvalidSettings, match=r"^JWT_SECRET: .*JOBCAST_DEMO=1"):
        settings_from({})
    assert settings_from({"JOBCAST_DEMO": "1"}).jwt_secret is None


def test_headers_without_origins_are_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        settings_from({**ENOUGH, "JOBCAST_CORS_HEADERS": "x-tenant"})
    assert [record.getMessage() for record in caplog.records] == [
        "JOBCAST_CORS_HEADERS has no effect without JOBCAST_CORS_ORIGINS"
    ]


def test_origins_beside_all_are_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    settings_from({**ENOUGH, "JOBCAST_CORS_ORIGINS": "*"})
    assert caplog.messages == []
    settings_from({**ENOUGH, "JOBCAST_CORS_ORIGINS": "https://a.example *"})
    assert caplog.messages == [
        "JOBCAST_CORS_ORIGINS: beside * the others have no effect, all do without cookies"
    ]


@pytest.mark.parametrize(
    ("secret", "algorithms", "message"),
    [
        (
            *("secret", "RS256"),
            "JWT_SECRET has no effect: JOBCAST_JWT_ALGORITHMS lists none of HS256, HS384, HS512",
        ),
        (
            *("", "HS512 RS256 HS256"),
            "JOBCAST_JWT_ALGORITHMS: without JWT_SECRET no token of HS256, HS512 is accepted",
        ),
        ("secret", "HS256 RS256", None),
        ("", "RS256", None),
    ],
)
def test_a_secret_and_algorithms_that_do_not_fit_are_pointed_out(
    secret: str, algorithms: str, message: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    settings_from(
        {
            "JWT_SECRET": secret,
            "JOBCAST_JWT_ALGORITHMS": algorithms,
            "JOBCAST_JWT_PUBLIC_KEY": PAIRS["RS256"].pem,
        }
    )
    assert caplog.messages == ([] if message is None else [message])


def test_a_misspelt_setting_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        settings_from({**ENOUGH, "JOBCAST_KEEP_ALIVE_S": "5"})
    assert [record.getMessage() for record in caplog.records] == [
        "JOBCAST_KEEP_ALIVE_S is no setting of Jobcast and is ignored"
    ]


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ("", "name the tasks of celery"),
        ("report", "'report' is not TYPE=TASK"),
        ("=shop.report", "'=shop.report' is not TYPE=TASK"),
        ("report=", "'report=' is not TYPE=TASK"),
        ("report=a report=b", "'report' is named twice"),
    ],
)
def test_tasks_of_a_queue_that_can_not_be_meant_are_named(tasks: str, message: str) -> None:
    given = {**ENOUGH, "JOBCAST_QUEUE_KIND": "celery", "JOBCAST_QUEUE_TASKS": tasks}
    with pytest.raises(InvalidSettings, match=f"JOBCAST_QUEUE_TASKS: {message}"):
        settings_from(given)


def test_settings_of_another_kind_of_queue_are_said_to_have_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings_from({**ENOUGH, "JOBCAST_QUEUE_TASKS": "report=shop.report"})
    assert caplog.messages == ["JOBCAST_QUEUE_TASKS has no effect with JOBCAST_QUEUE_KIND=bullmq"]
