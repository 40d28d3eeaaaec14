"""The command ``jobcast``, also as ``python -m jobcast``."""

import sys
from typing import Final

_USAGE: Final = (
    "usage: jobcast bridge\n\nIts settings are environment variables: see docs/workers/bridge.md."
)


def main() -> int:
    """Run a subcommand and return its exit code: 2 if there is no such subcommand."""
    if sys.argv[1:] == ["bridge"]:
        from jobcast.bridge.command import main as bridge  # noqa: PLC0415 - not needed for --help

        return bridge()
    is_help = sys.argv[1:] in (["--help"], ["-h"])
    print(_USAGE, file=sys.stdout if is_help else sys.stderr)
    return 0 if is_help else 2


if __name__ == "__main__":
    sys.exit(main())
