"""Recording of function calls."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def calls(counts: Callable[[str, str], bool]) -> Iterator[list[str]]:
    """Record the qualified names of the Python functions that this thread calls in the block.

    A coroutine that is resumed is not recorded again. Neither are comprehensions, because Python
    3.12 inlines them.

    Args:
        counts: whether to record a function, given its file and its qualified name.
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
