import hashlib
from pathlib import Path

from demo.checksum.hashing import CHUNK_BYTES, Chunk, Digest, Skipped, hash_files
from demo.checksum.tree import File


def test_a_file_is_hashed_in_chunks_to_its_digest(tmp_path: Path) -> None:
    content = b"Gr\xfc\xdfe" * 500_000
    (tmp_path / "file").write_bytes(content)
    file = File("file", len(content))
    *chunks, digest = hash_files(tmp_path, [file], "sha256")
    assert digest == Digest(file, hashlib.sha256(content).hexdigest(), len(content))
    sizes = [chunk.size for chunk in chunks]
    assert sizes == [CHUNK_BYTES, CHUNK_BYTES, len(content) - 2 * CHUNK_BYTES]


def test_an_empty_file_has_the_digest_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    file = File("file", 0)
    assert list(hash_files(tmp_path, [file], "sha1")) == [
        Digest(file, hashlib.sha1(b"", usedforsecurity=False).hexdigest(), 0)
    ]


def test_a_file_that_has_vanished_is_skipped_and_the_next_one_is_hashed(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"1")
    gone, there = File("gone", 5), File("there", 1)
    skipped, chunk, digest = hash_files(tmp_path, [gone, there], "sha256")
    assert skipped == Skipped(gone, 0)
    assert chunk == Chunk(there, 1)
    assert isinstance(digest, Digest)


def test_a_file_that_grows_or_shrinks_counts_as_what_was_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    for size in (2, 9):
        *_, digest = hash_files(tmp_path, [File("file", size)], "sha256")
        assert isinstance(digest, Digest)
        assert digest.size == 5


def test_stopping_in_the_middle_closes_the_file(tmp_path: Path) -> None:
    # The unclosed file would be a ResourceWarning, which is an error here.
    (tmp_path / "file").write_bytes(bytes(3 * CHUNK_BYTES))
    hashing = hash_files(tmp_path, [File("file", 3 * CHUNK_BYTES)], "sha256")
    next(hashing)
    del hashing
