"""Fuzzes for a while: ``python -m tests.fuzz --minutes 10``, or one round again: ``--seed N``."""

import argparse
import secrets
import subprocess
import sys
import time

from tests.fuzz.bounds import LONG

_ROUND_TIMEOUT_S = 1200


def main() -> int:
    """Run rounds until the time is over or one has failed; return its exit code."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="when to begin no further round")
    parser.add_argument("--seed", type=int, help="run the round of this seed only")
    parser.add_argument("rest", nargs="*", help="tests, and options of pytest after --")
    given = parser.parse_args()
    ends = time.monotonic() + given.minutes * 60
    while True:
        seed = secrets.randbelow(2**32) if given.seed is None else given.seed
        print(f"fuzz: --seed {seed}", flush=True)  # noqa: T201 - so that it can be run again
        options = [
            "-q",
            f"--hypothesis-profile={LONG}",
            f"--hypothesis-seed={seed}",
            f"--timeout={_ROUND_TIMEOUT_S}",
        ]
        tests = given.rest or ["tests/fuzz", "tests/unit/test_sse_frames.py"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        code = subprocess.run(command, check=False).returncode
        if code != 0 or given.seed is not None or time.monotonic() > ends:
            return code


sys.exit(main())
