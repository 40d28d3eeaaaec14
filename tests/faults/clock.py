"""What time it is for processes that a scenario starts: a clock that can jump, by libfaketime."""

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Final

LIBRARY: Final = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
"""None where it is not installed."""


class Clock:
    """Time as ``environment`` lets a process see it; how long things take stays as it is."""

    def __init__(self) -> None:
        folder = tempfile.mkdtemp(prefix="jobcast-clock-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._file = Path(folder) / "offset"
        self.jump_to(0)
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump_to(self, seconds: int) -> None:
        """Be so many seconds ahead of the true time, or behind it if they are negative."""
        # In one step: a process may look at any moment.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.replace(self._file)
