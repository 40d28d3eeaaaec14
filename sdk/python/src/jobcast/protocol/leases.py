"""The index of leases: a sorted set of runs by when theirs expires, in ms of the clock of Redis."""

from typing import Final

LEASES_KEY: Final = "jobs:leases"

LEASE_LUA: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function enter(member, delay_ms)
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + delay_ms), member)
end
"""
"""How scripts about leases begin."""

ENTER: Final = LEASE_LUA + "enter(ARGV[1], ARGV[2])"
"""The script that enters a run, or postpones when it is due, by so many ms from now."""


def lease_member(job_id: str, run: str) -> str:
    """Return the member of the index for a run; no job id has a colon, a run's token may."""
    return f"{job_id}:{run}"


def leased_run(member: bytes) -> tuple[str, bytes]:
    """Read a member of the index: the job and the token of its run."""
    job_id, _, run = member.partition(b":")
    return job_id.decode(), run


def look_key(number: int) -> str:
    """Name a key that never is: what would be written to it shows whether anything can be."""
    return f"jobs:{{{number}}}:look"
