"""The npm packages for tests of the JavaScript code, in folders that git ignores."""

import fcntl
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from tests.support.needs import NODE

SDK: Final = Path(__file__).parents[2] / "sdk" / "js"
SCRIPTS: Final = Path("python/src/jobcast/protocol")
_INSTALL_SECONDS: Final = 180


def node() -> str:
    """Return the path of Node.js; skip the test without it."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip(NODE)
    return found


def installed(folder: Path = SDK) -> Path:
    """Install the dependencies that a package.json names, and return their folder.

    It names exact versions, and there is no lock file: that would contain the URL of a registry.
    """
    node()
    modules = folder / "node_modules"
    modules.mkdir(exist_ok=True)
    stamp = modules / ".jobcast-stamp"
    wanted = sha256((folder / "package.json").read_bytes()).hexdigest()
    with (modules / ".jobcast-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not stamp.exists() or stamp.read_text() != wanted:
            command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund"]
            subprocess.run(
                command, cwd=folder, check=True, capture_output=True, timeout=_INSTALL_SECONDS
            )
            stamp.write_text(wanted)
    return modules


def packed(to: Path) -> Path:
    """Return a new folder below ``to`` with the package as npm would publish it.

    A copy of the tree is packed, because packing temporarily copies the append script into it.
    """
    node()
    tree = to / "tree" / "js"
    shutil.copytree(SDK, tree, symlinks=True, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(SDK.parent / SCRIPTS, tree.parent / SCRIPTS)
    command = ["npm", "pack", "--silent", "--pack-destination", str(to)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)
    (archive,) = to.glob("*.tgz")
    subprocess.run(["tar", "xzf", archive], cwd=to, check=True)  # noqa: S607 - wherever it is
    return to / "package"
