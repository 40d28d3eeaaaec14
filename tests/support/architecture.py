"""The ways that ``docs/architecture.md`` describes, function by function."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_PAGE: Final = Path(__file__).parents[2] / "docs" / "architecture.md"

Row = tuple[Sequence[str], Sequence[str]]
"""One step: its functions, and the files that have them."""


def ways() -> Sequence[Sequence[Row]]:
    """Return the ways of a progress event, of an end and of a viewer, as the page's tables."""
    tables = re.findall(r"\| step \| functions \| in \|\n.*\n((?:\|.*\n)+)", _PAGE.read_text())
    return [[_row(line) for line in table.splitlines()] for table in tables]


def functions_of(way: Iterable[Row]) -> Sequence[str]:
    """Return all functions of a way."""
    return [name for functions, _ in way for name in functions]


def is_part_of(way: Iterable[Row], calls: Iterable[str]) -> bool:
    """Say whether the functions of a way are called, in that order, with others in between."""
    remaining = iter(calls)
    return all(name in remaining for name in functions_of(way))


def _row(line: str) -> Row:
    _, _, functions, files, _ = (re.findall(r"`([^`]+)`", cell) for cell in line.split("|"))
    return functions, files
