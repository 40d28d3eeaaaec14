"""A short time limit for calls that wait for Redis."""

import jobcast
import jobcast.sync


def shorten_block(jobs: jobcast.Jobs | jobcast.sync.Jobs) -> None:
    """Make calls wait at most 0.2 s for Redis from now on; earlier ones may take their time."""
    jobs._senders.limits = jobs._senders.limits._replace(block_s=0.2)
