"""Inputs that have failed once, or are known to be hard: a file each, tried in every run."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

_FOLDER: Final = Path(__file__).parent / "corpus"


class Corpus:
    """The inputs of one kind, bytes each.

    Args:
        kind: name of their folder.
    """

    def __init__(self, kind: str) -> None:
        self._folder = _FOLDER / kind
        self._failed: bytes | None = None

    def each(self) -> pytest.MarkDecorator:
        """Return the mark of a test that is run with each ``kept`` input."""
        files = sorted(self._folder.iterdir())
        return pytest.mark.parametrize(
            "kept", [file.read_bytes() for file in files], ids=[file.name for file in files]
        )

    @contextmanager
    def trying(self, given: bytes) -> Iterator[None]:
        """Remember an input if its block fails."""
        try:
            yield
        except BaseException:
            self._failed = given
            raise

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Write down the input that failed last in its block: the smallest that was found."""
        try:
            yield
        except BaseException:
            if self._failed is not None:
                name = hashlib.sha256(self._failed).hexdigest()[:12]
                (self._folder / name).write_bytes(self._failed)
            raise
