"""The parts in C: compiled when they are first needed."""

import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent


class NoCompiler(RuntimeError):
    """not installed: cc."""


def compiler_missing() -> str | None:
    """Say that there is no C compiler, or None."""
    return None if shutil.which("cc") else "not installed: cc"


@cache
def compiled(source: str) -> str:
    """Return the path of the program that a C file of this folder is the source of.

    Raises:
        NoCompiler: there is none.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise NoCompiler(NoCompiler.__doc__)
    program = Path(_folder().name) / Path(source).stem
    options = ("-O2", "-Wall", "-Wextra", "-o", str(program))
    subprocess.run([compiler, *options, str(_HERE / source), "-lm"], check=True)
    return str(program)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="jobcast-bench-")
