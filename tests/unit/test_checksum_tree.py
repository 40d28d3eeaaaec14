import os
from pathlib import Path

import pytest

from demo.checksum.tree import File, Unreadable, find, open_below


def test_regular_files_are_found_at_any_depth_with_their_sizes(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "top").write_bytes(b"123")
    (tmp_path / "a" / "b" / "ü 🚀").write_bytes(b"")
    assert set(find(tmp_path)) == {File("top", 3), File("a/b/ü 🚀", 0)}


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert list(find(tmp_path)) == []


def test_what_is_no_regular_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(b"secret")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link-to-folder").symlink_to(tmp_path / "secret")
    (folder / "link-to-file").symlink_to(tmp_path / "secret" / "file")
    (folder / "broken-link").symlink_to("nowhere")
    (folder / "circle").symlink_to(".")
    os.mkfifo(folder / "pipe")
    assert list(find(folder)) == []


def test_a_name_that_is_no_utf_8_is_found(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"1")
    assert list(find(tmp_path)) == [File(os.fsdecode(b"\xff"), 1)]


def test_a_folder_that_vanishes_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "top").write_bytes(b"")
    (tmp_path / "inner").mkdir()
    found = find(tmp_path)
    assert next(found) == File("top", 0)
    (tmp_path / "inner").rmdir()
    assert list(found) == [Unreadable("inner")]


def test_a_file_that_vanishes_while_files_are_counted_is_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "top").write_bytes(b"")

    def vanished(path: str) -> os.stat_result:
        raise FileNotFoundError(path)

    monkeypatch.setattr("demo.checksum.tree.os.lstat", vanished)
    assert list(find(tmp_path)) == [Unreadable("top")]


def test_a_folder_that_is_gone_from_the_start_is_unreadable_itself(tmp_path: Path) -> None:
    assert list(find(tmp_path / "gone")) == [Unreadable(".")]


def test_a_file_below_a_folder_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"content")
    with open_below(tmp_path, "a/b/file") as stream:
        assert stream.read() == b"content"


def _replace_by_symlink(folder: Path, secret: Path) -> str:
    (folder / "file").symlink_to(secret / "file")
    return "file"


def _replace_parent_by_symlink(folder: Path, secret: Path) -> str:
    (folder / "parent").symlink_to(secret)
    return "parent/file"


def _replace_by_pipe(folder: Path, _: Path) -> str:
    os.mkfifo(folder / "pipe")
    return "pipe"


def _replace_by_folder(folder: Path, _: Path) -> str:
    (folder / "inner").mkdir()
    return "inner"


def _remove(_: Path, __: Path) -> str:
    return "nothing"


def open_files() -> int:
    """Return how many files this process has open; 0 on a system that does not say."""
    return len(list(Path("/proc/self/fd").glob("*")))


@pytest.mark.parametrize(
    "replace",
    [
        _replace_by_symlink,
        _replace_parent_by_symlink,
        _replace_by_pipe,
        _replace_by_folder,
        _remove,
    ],
)
def test_what_took_the_place_of_a_file_is_not_opened(tmp_path: Path, replace: object) -> None:
    assert callable(replace)
    secret, folder = tmp_path / "secret", tmp_path / "folder"
    secret.mkdir()
    folder.mkdir()
    (secret / "file").write_bytes(b"secret")
    path = replace(folder, secret)
    before = open_files()
    with pytest.raises(OSError, match=r".+"):
        open_below(folder, path)
    assert open_files() == before
