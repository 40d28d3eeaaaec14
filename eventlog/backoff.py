"""Back-off."""

import random


def jittered(pause_s: float) -> float:
    """Return a random 50 to 100 % of a pause."""
    return pause_s * random.uniform(0.5, 1)  # noqa: S311 - spread, not secrecy
