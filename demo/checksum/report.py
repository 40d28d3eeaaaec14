"""The result of a checksum job; it must fit into one event."""

import hashlib
import json
import os
from typing import Any, Final

from demo.checksum.hashing import Digest
from demo.checksum.tree import Unreadable

MAX_LISTED: Final = 50
MAX_LISTED_BYTES: Final = 32 * 1024


class Report:
    r"""Collects the digests into the result: ``{files, bytes, algorithm, digest, digests, …}``.

    ``digest`` covers every file: it is the digest of the lines ``<digest>  <path>``, sorted by
    path and terminated by line feeds, as ``sha256sum`` prints them. ``digests`` (path to hex) lists
    the first 50 files and ``unreadable`` (paths) the first 50 unreadable ones, or fewer if paths
    are very long; ``digestsOmitted`` and ``unreadableOmitted`` count the others, ``files`` and
    ``unreadableFiles`` all. Bytes of paths that are not UTF-8 are escaped (``\xff``).
    """

    def __init__(self, algorithm: str) -> None:
        self._algorithm = algorithm
        self._total = hashlib.new(algorithm, usedforsecurity=False)
        self._files = 0
        self._bytes = 0
        self._digests: dict[str, str] = {}
        self._digests_room = _Room()
        self._unreadable: list[str] = []
        self._unreadable_room = _Room()
        self._unreadable_files = 0

    def add(self, done: Digest) -> None:
        """Add the next file, in the order of paths."""
        self._files += 1
        self._bytes += done.size
        self._total.update(done.digest.encode() + b"  " + os.fsencode(done.file.path) + b"\n")
        path = shown(done.file.path)
        if self._digests_room.takes(path, done.digest):
            self._digests[path] = done.digest

    def add_unreadable(self, entry: Unreadable) -> None:
        """Add an unreadable file or folder."""
        self._unreadable_files += 1
        path = shown(entry.path)
        if self._unreadable_room.takes(path):
            self._unreadable.append(path)

    def result(self, seconds: float) -> dict[str, Any]:
        """Return the result, a JSON object; ``seconds`` is the duration of the job."""
        return {
            "files": self._files,
            "bytes": self._bytes,
            "seconds": round(seconds, 3),
            "algorithm": self._algorithm,
            "digest": self._total.hexdigest(),
            "digests": self._digests,
            "digestsOmitted": self._files - len(self._digests),
            "unreadable": self._unreadable,
            "unreadableFiles": self._unreadable_files,
            "unreadableOmitted": self._unreadable_files - len(self._unreadable),
        }


class _Room:
    """The room left in a list. After the first entry that does not fit, no other is accepted."""

    def __init__(self) -> None:
        self._entries = MAX_LISTED
        self._bytes = MAX_LISTED_BYTES

    def takes(self, *texts: str) -> bool:
        """Return whether an entry of these strings fits, and reserve its room."""
        self._entries -= 1
        if self._entries >= 0:
            self._bytes -= sum(map(_json_bytes, texts))
        return self._entries >= 0 and self._bytes >= 0


def shown(path: str) -> str:
    r"""Return a path as valid Unicode, with bytes that are not UTF-8 escaped (``\xff``)."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _json_bytes(text: str) -> int:
    comma_or_colon = 1
    return len(json.dumps(text, ensure_ascii=False).encode()) + comma_or_colon
