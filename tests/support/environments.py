"""Packages that conflict with those of constraints.txt, in a separate folder."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[2]
_INSTALL: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def packages_of(name: str) -> str:
    """Return a folder for PYTHONPATH with the packages that ``tests/environments/NAME.txt`` pins.

    They are installed below the environment of this process, once for each version of that file.
    """
    pins = _ROOT / "tests" / "environments" / f"{name}.txt"
    version = f"{sys.version_info.minor}-{hashlib.sha256(pins.read_bytes()).hexdigest()[:12]}"
    folder = Path(sys.prefix) / "environments" / f"{name}-{version}"
    if not folder.exists():
        _install(pins, folder)
    return str(folder)


def _install(pins: Path, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "packages"
        command = [sys.executable, *_INSTALL, "--require-hashes", "--target", str(made)]
        done = subprocess.run(
            [*command, "-r", str(pins)], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"a package index, for {pins.name}")
        try:
            made.rename(folder)
        except OSError:
            # Another process may have installed them meanwhile.
            if not folder.exists():
                raise
