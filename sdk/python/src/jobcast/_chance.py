"""The library's random numbers, for jitter; not for secrets."""

from random import Random
from typing import Final

chance: Final = Random()  # noqa: S311 - see above
"""A generator of its own, because a program may have seeded the module ``random``."""
