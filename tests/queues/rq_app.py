"""What a worker of RQ is given as ``--job-class``: a lost worker is missed soon."""

import os

from jobcast.adapters.rq import Job, install

SHORT_LEASE_S = 1.0

install(os.environ["REDIS_URL"], lease_s=SHORT_LEASE_S)

__all__ = ["Job"]
