"""Finds and opens the files of a folder."""

import errno
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class File:
    """A regular file: its path below the folder, and its size in bytes when it was found."""

    path: str
    size: int


@dataclass(frozen=True)
class Unreadable:
    """An unreadable file or folder: its path below the folder."""

    path: str


def find(folder: Path) -> Iterator[File | Unreadable]:
    """Yield the regular files below a folder as they are found, following no symlinks."""
    places = [""]
    while places:
        place = places.pop()
        try:
            with os.scandir(os.path.join(folder, place)) as entries:  # noqa: PTH118 - Path is slow
                for entry in entries:
                    path = place + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        places.append(path + os.sep)
                    elif (found := _look(path, entry.path)) is not None:
                        yield found
        except OSError:
            yield Unreadable(place.rstrip(os.sep) or os.curdir)


def _look(path: str, location: str) -> File | Unreadable | None:
    try:
        status = os.lstat(location)
    except OSError:
        return Unreadable(path)
    return File(path, status.st_size) if stat.S_ISREG(status.st_mode) else None


def open_below(folder: Path, path: str) -> io.FileIO:
    """Open a regular file below a folder for reading.

    Opens each part of the path relative to its parent, without following symlinks, so renames can't
    lead out of the folder. Raises OSError if there is no such regular file any more.
    """
    *parents, name = Path(path).parts
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            inner = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        # Non-blocking, because opening a pipe would wait for a writer.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "no regular file", path)
    return io.FileIO(handle)
