"""Which functions run, call by call."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def calls(counts: Callable[[str, str], bool]) -> Iterator[list[str]]:
    """Note the qualified names of the Python functions that this thread calls in the block.

    A coroutine that goes on is not called again, and Python 3.12 inlines comprehensions.

    Args:
        counts: says of a function, by its file and its qualified name, whether it is noted.
    """
    names: list[str] = []
    seen: set[FrameType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or frame in seen or not counts(code.co_filename, code.co_qualname):
            return
        seen.add(frame)
        if "comp>" not in code.co_name:
            names.append(code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield names
    finally:
        sys.setprofile(before)
