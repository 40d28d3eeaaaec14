"""Why an append is refused: by the script, or by Redis because of what a key holds."""

import re
from enum import StrEnum
from typing import Final


class Refusal(StrEnum):
    """The first word of each error reply of the append script; the rest is a text."""

    NO_JOB = "NOJOB"
    EXISTS = "EXISTS"
    FINISHED = "FINISHED"
    STALLED = "STALLED"
    SUPERSEDED = "SUPERSEDED"
    NOT_RUNNING = "NOTRUNNING"
    NOT_FAILED = "NOTFAILED"
    NOT_CANCELLABLE = "NOTCANCELLABLE"
    LEASED = "LEASED"
    BAD_EVENT = "BADEVENT"


_OF_THE_DATA: Final = re.compile(
    r"WRONGTYPE|invalid stream id|top item|last possible id"  # of a key or an entry
    r"|attempt to |bad argument|must be strings or integers"  # of a script that met such data
    r"|not an integer|value is out of range|invalid expire",
    re.IGNORECASE,
)


def is_of_the_data(reply: str) -> bool:
    """Say whether Redis refuses because of what a key holds: it will refuse again.

    Anything else may pass: a full memory or disk, a primary that was replaced, a slot that moves, a
    user that lacks a right. In Redis 6 ``reply`` wraps that of a command in that of the script.
    """
    return _OF_THE_DATA.search(reply) is not None
