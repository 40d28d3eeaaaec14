"""The result of a checksum job, which has to fit into one event."""

import hashlib
import json
import os
from typing import Any, Final

from worker.checksum.hashing import Digest
from worker.checksum.tree import Unreadable

MAX_DIGESTS_BYTES: Final = 768 * 1024
MAX_UNREADABLE_BYTES: Final = 128 * 1024


class Report:
    r"""Collects digests into ``{files, bytes, algorithm, digest, digests, unreadable, …}``.

    ``digest`` covers every file: it is that of the lines ``<digest>  <path>``, by path, each ended
    by a line feed, which is what ``sha256sum`` prints. ``digests`` (path to hex) and ``unreadable``
    (paths) are listed as far as they fit, and ``truncated`` says that one was cut; ``files`` and
    ``unreadableFiles`` count them all. Paths that are no UTF-8 are shown with escapes (``\xff``).
    """

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._total = hashlib.new(algorithm, usedforsecurity=False)
        self._files = 0
        self._bytes = 0
        self._digests: dict[str, str] = {}
        self._digests_room = MAX_DIGESTS_BYTES
        self._unreadable: list[str] = []
        self._unreadable_room = MAX_UNREADABLE_BYTES
        self._unreadable_files = 0

    def add(self, done: Digest) -> None:
        """Add the next file, in the order of paths."""
        self._files += 1
        self._bytes += done.size
        self._total.update(done.digest.encode() + b"  " + os.fsencode(done.file.path) + b"\n")
        path = shown(done.file.path)
        self._digests_room -= _json_bytes(path) + _json_bytes(done.digest)
        if self._digests_room >= 0:
            self._digests[path] = done.digest

    def add_unreadable(self, entry: Unreadable) -> None:
        """Add a file or folder that could not be read."""
        self._unreadable_files += 1
        path = shown(entry.path)
        self._unreadable_room -= _json_bytes(path)
        if self._unreadable_room >= 0:
            self._unreadable.append(path)

    def result(self, seconds: float) -> dict[str, Any]:
        """Return the job's result."""
        return {
            "files": self._files,
            "bytes": self._bytes,
            "seconds": round(seconds, 3),
            "algorithm": self._algorithm,
            "digest": self._total.hexdigest(),
            "digests": self._digests,
            "unreadable": self._unreadable,
            "unreadableFiles": self._unreadable_files,
            "truncated": self._digests_room < 0 or self._unreadable_room < 0,
        }


def shown(path: str) -> str:
    """Return a path as text that JSON can carry."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _json_bytes(text: str) -> int:
    comma_or_colon = 1
    return len(json.dumps(text, ensure_ascii=False).encode()) + comma_or_colon
