"""The index of leases: a sorted set of runs, scored by expiry in ms of the clock of Redis."""

from typing import Final

LEASES_KEY: Final = "jobs:leases"

LEASE_LUA: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function enter(member, delay_ms)
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + delay_ms), member)
end
"""
"""The common beginning of scripts about leases."""

ENTER: Final = LEASE_LUA + "enter(ARGV[1], ARGV[2])"
"""The script that enters a run, or postpones it, to be due in so many ms from now."""


def lease_member(job_id: str, run: str) -> str:
    """Return the member of the index for a run; no job id has a colon, a run's token may."""
    return f"{job_id}:{run}"


def leased_run(member: bytes) -> tuple[str, bytes]:
    """Read a member of the index: the job and the token of its run."""
    job_id, _, run = member.partition(b":")
    return job_id.decode(), run


def unused_key(number: int) -> str:
    """Name a key that never exists: a write to it without effect shows if its server takes any."""
    return f"jobs:{{{number}}}:look"
