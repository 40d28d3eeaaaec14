"""Pauses before something is tried again."""

import random


def jittered(pause_s: float) -> float:
    """Return half of a pause to all of it, at random, so that a crowd comes apart."""
    return pause_s * random.uniform(0.5, 1)  # noqa: S311 - spread, not secrecy
