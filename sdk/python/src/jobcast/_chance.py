"""The library's random numbers, for jitter; not for secrets."""

import os
from random import Random
from typing import Final

chance: Final = Random()  # noqa: S311 - see above
"""A generator of its own, because a program may have seeded the module ``random``."""

if hasattr(os, "register_at_fork"):
    # Else the processes of a pool would all retry at the same times.
    os.register_at_fork(after_in_child=chance.seed)
