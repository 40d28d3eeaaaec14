"""Folders that the demo and ``jobcast-service dev`` can't use are named, and nothing is started."""

from pathlib import Path

import pytest

import demo.__main__
from app.dev.command import main
from app.dev.process import LaunchFailed
from app.dev.stack import Stack, settings_that_are_set


@pytest.fixture(params=["a loop of symlinks", "a file", "too long a name"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / ("x" * 300 if request.param == "too long a name" else "data")
    if request.param == "a file":
        path.touch()
    elif request.param == "a loop of symlinks":
        path.symlink_to(path)
    return path


def test_a_folder_that_dev_can_not_use_is_named(
    unusable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dev", "--data", str(unusable)]) == 1
    assert capsys.readouterr().err.startswith(f"--data: {unusable} can't be used (")


def test_a_folder_that_the_demo_can_not_use_is_named(
    unusable: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBCAST_DEMO_DATA", str(unusable))
    assert demo.__main__.main() == 1
    assert capsys.readouterr().err.startswith(f"JOBCAST_DEMO_DATA: {unusable} can't be used (")


def test_a_kept_secret_that_is_unreadable_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"\xff")
    with pytest.raises(LaunchFailed, match="secret can't be used"):
        Stack(tmp_path, lock=-1).kept("secret")


def test_a_blank_setting_is_none() -> None:
    blank = dict.fromkeys(("REDIS_URL", "JWT_SECRET", "JOBCAST_QUEUE", "OTHER"), " ")
    assert settings_that_are_set({**blank, "JOBCAST_DEMO": "1"}) == {
        "OTHER": " ",
        "JOBCAST_DEMO": "1",
    }
