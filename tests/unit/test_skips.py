"""What a run of the tests says of those that it skipped."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import needs

ROOT = Path(__file__).parents[2]
PLUGINS = ["-p", "xdist", "-p", "tests.support.skips"]

TESTS = """
import pytest

@pytest.fixture
def nginx():
    pytest.skip("no nginx (apt-get install nginx-light)")

def test_one(nginx): ...
def test_two(nginx): ...

@pytest.mark.skipif(True, reason="no C compiler (apt-get install gcc)")
def test_three(): ...

@pytest.mark.xfail(strict=True)
def test_four():
    assert False

def test_five(): ...
"""
MODULE = """
import pytest
pytest.skip("no chromium (apt-get install chromium)", allow_module_level=True)
"""


def run(folder: Path, *arguments: str, ci: str) -> tuple[int, list[str]]:
    """Run the tests of a folder and return the exit code and the lines of the output."""
    (folder / "test_some.py").write_text(TESTS)
    (folder / "test_module.py").write_text(MODULE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, *arguments, str(folder)],
        cwd=folder,
        env={
            **os.environ,
            "CI": ci,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # others take seconds to load
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("processes", ["0", "2"])
def test_the_end_says_in_a_line_each_what_was_skipped_and_what_would_bring_it(
    tmp_path: Path, processes: str
) -> None:
    code, lines = run(tmp_path, "-n", processes, ci="")
    assert code == 0
    assert [line for line in lines if " skipped: " in line] == [
        "1 skipped: no C compiler (apt-get install gcc)",
        "1 skipped: no chromium (apt-get install chromium)",
        "2 skipped: no nginx (apt-get install nginx-light)",
    ]
    assert "1 passed, 4 skipped, 1 xfailed" in lines[-1]


@pytest.mark.parametrize("processes", ["0", "2"])
def test_in_ci_what_is_skipped_fails(tmp_path: Path, processes: str) -> None:
    code, lines = run(tmp_path, "-n", processes, "--continue-on-collection-errors", ci="true")
    assert code == 1
    assert "1 xfailed" in lines[-1]
    assert "1 passed" in lines[-1]
    assert "skipped" not in lines[-1]
    assert any("skipped, which nothing may be in CI: no nginx" in line for line in lines)
    assert any("skipped, which nothing may be in CI: no chromium" in line for line in lines)


def test_each_reason_names_a_package_that_apt_knows() -> None:
    reasons = [value for value in vars(needs).values() if str(value).startswith("no ")]
    assert len(reasons) == 9
    assert all(re.fullmatch(r"no .+ \(apt-get install [a-z0-9 -]+\)", text) for text in reasons)
