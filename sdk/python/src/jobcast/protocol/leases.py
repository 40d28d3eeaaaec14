"""The index of leases: a sorted set of runs, scored by expiry in ms of the clock of Redis."""

from typing import Final

from jobcast.protocol.names import ADD_LUA

LEASES_KEY: Final = "jobs:leases"

LEASE_LUA: Final = (
    ADD_LUA
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function enter(member, delay_ms)
  add(string.format('%.0f', now + delay_ms), member)
end
"""
)
"""The beginning of each script about leases."""

ENTER: Final = LEASE_LUA + "enter(ARGV[1], ARGV[2])"
"""The script that enters a run, or postpones its due time, to ``ARGV[2]`` ms from now."""


def lease_member(job_id: str, run: str) -> str:
    """Return a run's member of the index. A job id has no colon, but a run token may."""
    return f"{job_id}:{run}"


def leased_run(member: bytes) -> tuple[str, bytes]:
    """Parse a member of the index: the job id and the run token."""
    job_id, _, run = member.partition(b":")
    return job_id.decode(), run


def unused_key(number: int) -> str:
    """Return a key that is never set: a write without effect tests if its server accepts writes."""
    return f"jobs:{{{number}}}:look"
