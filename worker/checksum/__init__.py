"""The job type ``checksum``: hash every file of a folder. See `worker.checksum.job`."""

from worker.checksum import job

__all__ = ["job"]
