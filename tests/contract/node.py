"""Packages of npm that tests run, in a folder that Git ignores."""

import shutil
import subprocess
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.support.needs import NPM

_FOLDER = Path(__file__).parents[2] / ".venv" / "npm"


def node_modules(package: str) -> Path:
    """Return the folder that holds a package, ``name@version``, and what it needs."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(NPM)
    folder = _FOLDER / package.replace("/", "+")
    if not folder.exists():
        _FOLDER.mkdir(parents=True, exist_ok=True)
        scratch = mkdtemp(dir=_FOLDER)
        options = ("--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        subprocess.run([npm, "install", *options, "--prefix", scratch, package], check=True)
        Path(scratch).rename(folder)  # whole, or not there
    return folder / "node_modules"
