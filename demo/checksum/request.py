"""The input of a checksum job."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Self

from worker.failure import Failure

# SHAKE digests have no fixed length.
ALGORITHMS: Final = frozenset(
    name for name in hashlib.algorithms_guaranteed if not name.startswith("shake_")
)


@dataclass(frozen=True)
class Request:
    """``{"folder": "relative/path", "algorithm"?: "sha256"}``."""

    folder: str
    algorithm: str = "sha256"

    @classmethod
    def from_input(cls, job_input: Mapping[str, object]) -> Self:
        """Parse the input. Raises Failure BAD_INPUT, which names the field, if one is invalid."""
        folder = job_input.get("folder")
        if not isinstance(folder, str) or not folder or "\0" in folder:
            raise Failure('folder must be a path below the root, such as "photos"', "BAD_INPUT")
        algorithm = job_input.get("algorithm", cls.algorithm)
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            names = ", ".join(sorted(ALGORITHMS))
            raise Failure(f"algorithm must be one of {names}", "BAD_INPUT")
        return cls(folder, algorithm)

    def below(self, root: Path | None) -> Path:
        """Return the folder, which is the root or below it, with symlinks resolved.

        Raises Failure NO_FILES_ROOT, OUTSIDE_ROOT, FOLDER_NOT_FOUND or NOT_A_FOLDER. Its message
        names the folder as requested, and does not reveal the root.
        """
        if root is None:
            raise Failure("This worker has no folder of files", "NO_FILES_ROOT")
        outside = Failure(f"{self.folder} is outside of the root", "OUTSIDE_ROOT")
        if PurePosixPath(self.folder).is_absolute():
            raise outside
        try:
            folder = (root / self.folder).resolve()
            if not folder.is_relative_to(root.resolve()):
                raise outside
            exists, is_folder = folder.exists(), folder.is_dir()
        except (OSError, RuntimeError, ValueError):
            # The name is too long, symlinks form a loop, or a parent is not accessible.
            exists = is_folder = False
        if not exists:
            raise Failure(f"{self.folder} was not found", "FOLDER_NOT_FOUND")
        if not is_folder:
            raise Failure(f"{self.folder} is not a folder", "NOT_A_FOLDER")
        return folder
