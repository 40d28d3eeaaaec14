"""What a worker of RQ is given as ``--job-class``: a lost worker is missed soon."""

import os

from jobcast.adapters.rq import Job, install

SHORT_LEASE_S = "1.0"
LONG_BLOCK_S = "2.0"

install(
    os.environ["REDIS_URL"],
    lease_s=float(os.environ.get("LEASE_S", SHORT_LEASE_S)),
    block_s=float(os.environ.get("BLOCK_S", LONG_BLOCK_S)),
)

__all__ = ["Job"]
