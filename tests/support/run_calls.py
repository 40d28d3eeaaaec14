"""The reporting calls of a run, one of each kind."""

from collections.abc import Awaitable, Callable
from typing import Final

from jobcast import Run

Call = Callable[[Run], Awaitable[str]]

CALLS: Final[dict[str, Call]] = {
    "progress": lambda run: run.progress(50),
    "step": lambda run: run.step("Reading"),
    "emit": lambda run: run.emit("note", {}),
    "complete": lambda run: run.complete(),
    "fail": lambda run: run.fail("Boom"),
}
