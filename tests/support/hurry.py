"""Calls that soon stop waiting for Redis."""

import jobcast
import jobcast.sync


def hurry(jobs: jobcast.Jobs | jobcast.sync.Jobs) -> None:
    """Let calls wait for Redis no longer than this; before, a busy machine has its time."""
    jobs._senders.limits = jobs._senders.limits._replace(block_s=0.2)
