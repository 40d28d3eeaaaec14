"""Why an append is refused: by the script, or by Redis because of the stored data."""

import re
from enum import StrEnum
from typing import Final


class Refusal(StrEnum):
    """The first word of each error reply of the append script; a text follows."""

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
    r"WRONGTYPE|invalid stream id|top item|last possible id"  # about a key or an entry
    r"|attempt to |bad argument|must be strings or integers"  # from a script that read such data
    r"|not an integer|value is out of range|invalid expire",
    re.IGNORECASE,
)


def is_of_the_data(reply: str) -> bool:
    """Return whether Redis refuses because of the data that a key holds, which is permanent.

    Anything else may be transient: a full memory or disk, a replaced primary, a moving slot, a
    missing permission. In Redis 6 ``reply`` wraps the error of a command in that of the script.
    """
    return _OF_THE_DATA.search(reply) is not None
