import logging
import os

import pytest

from jobcast.bridge.settings import InvalidSettings, Settings
from tests.support.module_process import run_module

ENOUGH = {"JOBCAST_BRIDGE_BULLMQ": "render"}


def test_what_is_not_set_has_a_default() -> None:
    settings = Settings.from_environment({**ENOUGH, "JOBCAST_BRIDGE_NAME": " "})
    assert settings.redis_url == settings.queue_url == "redis://127.0.0.1:6379/0"
    assert settings.bullmq == ("render",)
    assert (settings.publications, settings.name, settings.lease_s) == (False, "bridge", 5)
    assert settings.bounds == (86_400, 10_000, 1024 * 1024)


def test_each_setting_is_read() -> None:
    settings = Settings.from_environment(
        {
            "REDIS_URL": "redis://logs/1",
            "JOBCAST_RETENTION_S": "60",
            "JOBCAST_LOG_ENTRIES": "100",
            "JOBCAST_EVENT_BYTES": "2048",
            "JOBCAST_BRIDGE_QUEUE_URL": "redis://queues",
            "JOBCAST_BRIDGE_PUBLICATIONS": "yes",
            "JOBCAST_BRIDGE_BULLMQ": "render, {app}:mail render",
            "JOBCAST_BRIDGE_CELERY": "amqp://guest@broker//",
            "JOBCAST_BRIDGE_RQ": "1",
            "JOBCAST_BRIDGE_OWNER": "data.user.id",
            "JOBCAST_BRIDGE_SESSION": "data.session",
            "JOBCAST_BRIDGE_TYPE": "data.kind",
            "JOBCAST_BRIDGE_NAME": "b1",
            "JOBCAST_BRIDGE_LEASE_S": "1.5",
        }
    )
    assert (settings.redis_url, settings.queue_url) == ("redis://logs/1", "redis://queues")
    assert settings.bounds == (60, 100, 2048)
    assert settings.publications
    assert (settings.celery, settings.rq) == ("amqp://guest@broker//", True)
    assert settings.bullmq == ("render", "{app}:mail")
    rule = settings.owner_rule
    assert (rule.user, rule.session, rule.type) == (
        (("data", "user", "id"),),
        (("data", "session"),),
        (("data", "kind"),),
    )
    assert (settings.name, settings.lease_s) == ("b1", 1.5)


INVALID = {
    "REDIS_URL": ["http://x", "redis://h:x"],
    "JOBCAST_RETENTION_S": ["0", "1.5", "x", "315360001"],
    "JOBCAST_LOG_ENTRIES": ["9", "1000001"],
    "JOBCAST_EVENT_BYTES": ["1023", "1048577"],
    "JOBCAST_BRIDGE_QUEUE_URL": ["x"],
    "JOBCAST_BRIDGE_PUBLICATIONS": ["maybe"],
    "JOBCAST_BRIDGE_BULLMQ": ["a:b:c", "x" * 129, "jobcast", "{a}"],
    "JOBCAST_BRIDGE_CELERY": ["broker", "a b://c", "http://h", "redsi://h", "amqp://h:port//"],
    "JOBCAST_BRIDGE_RQ": ["2"],
    "JOBCAST_BRIDGE_OWNER": [".", "data..x", ".".join("a" * 21)],
    "JOBCAST_BRIDGE_SESSION": ["data."],
    "JOBCAST_BRIDGE_TYPE": [".type", "a\udcff"],
    "JOBCAST_BRIDGE_NAME": ["a b", "a:b", "x" * 65],
    "JOBCAST_BRIDGE_LEASE_S": ["0.9", "61", "nan", "x", "1_0", "\u0663"],
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in INVALID.items() for text in texts]
)
def test_an_invalid_setting_is_refused_by_its_name(name: str, text: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^{name}: "):
        Settings.from_environment({**ENOUGH, name: text})


def test_what_is_wrong_with_a_broker_is_said_without_its_password() -> None:
    refused = {
        "redis://:hunter2/x@h:1/0": "no URL of a broker: its port",
        "redis://h;foo://:hunter2@h": "Celery has no such broker: foo://",
        "redis+sentinel://:hunter2@h:1/main": "Celery does not follow it",
        "confluentkafka://:hunter2@h": "Celery lacks what confluentkafka:// needs",
    }
    for url, why in refused.items():
        with pytest.raises(InvalidSettings, match=f"^JOBCAST_BRIDGE_CELERY: {why}") as refusal:
            Settings.from_environment({"JOBCAST_BRIDGE_CELERY": url})
        assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("url", ["memory://", "redis+socket:///s", "amqps://a;amqps://b"])
def test_each_spelling_of_a_broker_that_celery_knows_is_taken(url: str) -> None:
    assert Settings.from_environment({"JOBCAST_BRIDGE_CELERY": url}).celery == url


def test_a_source_is_needed() -> None:
    with pytest.raises(InvalidSettings, match="JOBCAST_BRIDGE_PUBLICATIONS"):
        Settings.from_environment({})


def test_publications_can_not_be_followed_in_a_cluster() -> None:
    with pytest.raises(InvalidSettings, match=r"JOBCAST_BRIDGE_PUBLICATIONS: .* Cluster"):
        Settings.from_environment(
            {"JOBCAST_BRIDGE_PUBLICATIONS": "1", "REDIS_URL": "redis+cluster://h:1"}
        )


def test_rq_can_not_be_in_a_cluster() -> None:
    with pytest.raises(InvalidSettings, match=r"JOBCAST_BRIDGE_RQ: .* Cluster"):
        Settings.from_environment(
            {"JOBCAST_BRIDGE_RQ": "1", "JOBCAST_BRIDGE_QUEUE_URL": "redis+cluster://h:1"}
        )


def test_the_queue_of_jobcast_itself_in_another_redis_is_any_other() -> None:
    elsewhere = {"JOBCAST_BRIDGE_QUEUE_URL": "redis://other"}
    Settings.from_environment({"JOBCAST_BRIDGE_BULLMQ": "jobcast", **elsewhere})
    with pytest.raises(InvalidSettings, match="JOBCAST_BRIDGE_BULLMQ: render is the queue"):
        Settings.from_environment({**ENOUGH, "JOBCAST_QUEUE": "render"})


def test_an_unknown_setting_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    others = {"JOBCAST_CONCURRENCY": "4", "JOBCAST_KEEPALIVE_S": "1"}
    with caplog.at_level(logging.WARNING):
        Settings.from_environment({**ENOUGH, **others, "JOBCAST_BRIDGE_OWNERS": "x"})
    assert caplog.messages == ["JOBCAST_BRIDGE_OWNERS is no setting of the bridge and is ignored"]


def run(*arguments: str, **environment: str) -> tuple[int, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JOBCAST_")}
    return run_module(["jobcast", *arguments], {**inherited, **environment})


def test_the_command_names_what_is_wrong_and_exits_with_2() -> None:
    code, said = run("bridge", REDIS_URL="http://x", JOBCAST_BRIDGE_PUBLICATIONS="1")
    assert (code, said.startswith("REDIS_URL: ")) == (2, True)
    assert run("bridges")[0] == 2
    code, shown = run("--help")
    assert (code, shown.startswith("usage: jobcast bridge")) == (0, True)
