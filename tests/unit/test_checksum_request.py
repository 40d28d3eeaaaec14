import hashlib
from pathlib import Path
from typing import Any

import pytest

from demo.checksum.request import ALGORITHMS, Request
from worker.failure import Failure


def code_of(job_input: dict[str, Any], root: Path | None) -> str:
    """Return the code that a job with this input fails with."""
    with pytest.raises(Failure) as caught:
        Request.from_input(job_input).below(root)
    assert "/" not in str(caught.value).replace(job_input.get("folder") or "/", "")
    return caught.value.code


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a folder, a file, and a secret beside it."""
    (tmp_path / "root" / "photos" / "2024").mkdir(parents=True)
    (tmp_path / "root" / "notes.txt").write_text("notes")
    (tmp_path / "secret").mkdir()
    return tmp_path / "root"


@pytest.mark.parametrize(
    "folder", ["photos", "photos/2024", "photos/", "./photos", "photos/../photos", "."]
)
def test_a_folder_below_the_root_is_taken(root: Path, folder: str) -> None:
    found = Request(folder).below(root)
    assert found.is_relative_to(root)
    assert found.is_dir()


@pytest.mark.parametrize(
    "folder", ["..", "../secret", "photos/../../secret", "../root2", "/", "/etc"]
)
def test_a_folder_outside_of_the_root_is_refused(root: Path, folder: str) -> None:
    assert code_of({"folder": folder}, root) == "OUTSIDE_ROOT"


def test_an_absolute_path_is_refused_even_to_the_root(root: Path) -> None:
    assert code_of({"folder": str(root)}, root) == "OUTSIDE_ROOT"


def test_a_folder_whose_name_begins_like_the_roots_is_outside(root: Path) -> None:
    (root.parent / "root-of-others").mkdir()
    assert code_of({"folder": "../root-of-others"}, root) == "OUTSIDE_ROOT"


@pytest.mark.parametrize("folder", ["link", "link/..", "photos/link", "link/secret"])
def test_a_symlink_out_of_the_root_is_refused(root: Path, folder: str) -> None:
    (root / "link").symlink_to(root.parent / "secret")
    (root / "photos" / "link").symlink_to("../../secret")
    (root.parent / "secret" / "secret").mkdir()
    assert code_of({"folder": folder}, root) == "OUTSIDE_ROOT"


def test_a_symlink_within_the_root_is_taken(root: Path) -> None:
    (root / "link").symlink_to("photos")
    assert Request("link").below(root) == root / "photos"


def test_a_root_that_is_a_symlink_is_as_good(root: Path) -> None:
    (root.parent / "alias").symlink_to(root)
    assert Request("photos").below(root.parent / "alias") == root / "photos"


@pytest.mark.parametrize("folder", ["nothing", "photos/nothing", "x" * 5000, "ü\udc80"])
def test_a_folder_that_is_not_there_is_not_found(root: Path, folder: str) -> None:
    assert code_of({"folder": folder}, root) == "FOLDER_NOT_FOUND"


def test_symlinks_in_a_circle_are_not_found(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    assert code_of({"folder": "a"}, root) == "FOLDER_NOT_FOUND"


def test_a_file_is_no_folder(root: Path) -> None:
    assert code_of({"folder": "notes.txt"}, root) == "NOT_A_FOLDER"


def test_without_a_root_there_are_no_files() -> None:
    assert code_of({"folder": "photos"}, None) == "NO_FILES_ROOT"


@pytest.mark.parametrize(
    "job_input",
    [
        {},
        {"folder": ""},
        {"folder": None},
        {"folder": 5},
        {"folder": ["photos"]},
        {"folder": "pho\0tos"},
        {"folder": "photos", "algorithm": "crc32"},
        {"folder": "photos", "algorithm": None},
        {"folder": "photos", "algorithm": ["sha256"]},
        {"folder": "photos", "algorithm": "shake_128"},
        {"folder": "photos", "algorithm": "SHA256"},
    ],
    ids=str,
)
def test_a_bad_input_is_named(root: Path, job_input: dict[str, Any]) -> None:
    with pytest.raises(Failure, match=r"folder|algorithm") as caught:
        Request.from_input(job_input).below(root)
    assert caught.value.code == "BAD_INPUT"


def test_the_algorithm_is_sha256_unless_another_is_asked_for() -> None:
    assert Request.from_input({"folder": "a"}).algorithm == "sha256"
    assert Request.from_input({"folder": "a", "algorithm": "sha1"}).algorithm == "sha1"


def test_every_algorithm_has_a_digest_of_fixed_length() -> None:
    assert {"sha256", "sha1", "blake2b", "md5"} <= ALGORITHMS
    for name in ALGORITHMS:
        assert hashlib.new(name, usedforsecurity=False).hexdigest()
