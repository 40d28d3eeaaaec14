"""The id of a job: what is one, and which spellings mean the same job."""

import re
import uuid

_JOB_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def parse_job_id(text: str) -> str | None:
    """Return the id in its one spelling (a UUID in lower case), or None if it is none."""
    if _JOB_ID.fullmatch(text) is None:
        return None
    return text.lower() if _UUID.fullmatch(text) else text


def new_job_id() -> str:
    """Return a fresh id."""
    return str(uuid.uuid4())
