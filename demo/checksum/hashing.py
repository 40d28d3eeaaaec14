"""Hashes files chunk by chunk."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from demo.checksum.tree import File, Unreadable, open_below

CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Chunk:
    """Another ``size`` bytes of a file were hashed."""

    file: File
    size: int


@dataclass(frozen=True)
class Digest:
    """A file was hashed completely: its digest in hex and its size in bytes."""

    file: File
    digest: str
    size: int


@dataclass(frozen=True)
class Skipped:
    """A file vanished or became unreadable after ``size`` bytes."""

    file: File
    size: int

    @property
    def unreadable(self) -> Unreadable:
        """Return the file as the report lists it."""
        return Unreadable(self.file.path)


def hash_files(
    folder: Path, files: Iterable[File], algorithm: str
) -> Iterator[Chunk | Digest | Skipped]:
    """Hash files in order; for each, yield its chunks, then its `Digest` or a `Skipped`."""
    buffer = bytearray(CHUNK_BYTES)
    view = memoryview(buffer)
    for file in files:
        total = hashlib.new(algorithm, usedforsecurity=False)
        hashed = 0
        try:
            with open_below(folder, file.path) as stream:
                while size := stream.readinto(buffer):
                    total.update(view[:size])
                    hashed += size
                    yield Chunk(file, size)
        except OSError:
            yield Skipped(file, hashed)
        else:
            yield Digest(file, total.hexdigest(), hashed)
