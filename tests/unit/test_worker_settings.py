from pathlib import Path

import pytest

from worker.settings import InvalidSettings, Settings, files_root


def test_without_settings_the_worker_serves_the_local_redis() -> None:
    assert Settings.from_environment({}) == Settings(
        redis_url="redis://127.0.0.1:6379/0",
        queue="jobcast",
        files_root=None,
        concurrency=4,
        grace_s=10.0,
    )


def test_every_setting_is_read(tmp_path: Path) -> None:
    environment = {
        "REDIS_URL": "rediss://user:secret@redis.example:6380/2",
        "JOBCAST_QUEUE": "reports",
        "JOBCAST_FILES_ROOT": str(tmp_path),
        "JOBCAST_CONCURRENCY": "16",
        "JOBCAST_GRACE_S": "2.5",
    }
    assert Settings.from_environment(environment) == Settings(
        redis_url="rediss://user:secret@redis.example:6380/2",
        queue="reports",
        files_root=tmp_path,
        concurrency=16,
        grace_s=2.5,
    )


def test_an_empty_variable_is_unset() -> None:
    names = ("JOBCAST_QUEUE", "JOBCAST_FILES_ROOT", "JOBCAST_CONCURRENCY", "JOBCAST_GRACE_S")
    assert Settings.from_environment(dict.fromkeys(("REDIS_URL", *names), " ")) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "http://127.0.0.1"),
        ("REDIS_URL", "127.0.0.1:6379"),
        ("REDIS_URL", "redis://127.0.0.1:many"),
        ("REDIS_URL", "redis://[::1"),
        ("REDIS_URL", "redis://user:\udcff@127.0.0.1/0"),
        ("JOBCAST_QUEUE", "a:b"),
        ("JOBCAST_QUEUE", "\udcff"),
        ("JOBCAST_QUEUE", "a b"),
        ("JOBCAST_QUEUE", "q" * 129),
        ("JOBCAST_FILES_ROOT", "/nowhere/at/all"),
        ("JOBCAST_CONCURRENCY", "0"),
        ("JOBCAST_CONCURRENCY", "-1"),
        ("JOBCAST_CONCURRENCY", "1.5"),
        ("JOBCAST_CONCURRENCY", "many"),
        ("JOBCAST_CONCURRENCY", "1001"),
        ("JOBCAST_GRACE_S", "-1"),
        ("JOBCAST_GRACE_S", "nan"),
        ("JOBCAST_GRACE_S", "inf"),
        ("JOBCAST_GRACE_S", "soon"),
        ("JOBCAST_GRACE_S", "1_0"),
        ("JOBCAST_GRACE_S", "\u0661"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=f"^{name}: "):
        Settings.from_environment({name: value})


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_environment({"REDIS_URL": "redis://:hunter2@host:port/0"})
    assert "hunter2" not in str(caught.value)


def test_the_root_of_the_files_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "alias").symlink_to("files")
    assert files_root({"JOBCAST_FILES_ROOT": str(tmp_path / "alias")}) == tmp_path / "files"
