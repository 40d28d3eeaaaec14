"""The library's own source of chance, for jitter; nothing secret comes from it."""

from random import Random
from typing import Final

chance: Final = Random()  # noqa: S311 - see above
"""Not the one of the module ``random``, which a program may have seeded."""
