"""The job type ``checksum`` hashes every file of a folder. See `demo.checksum.job`."""

from demo.checksum import job

__all__ = ["job"]
