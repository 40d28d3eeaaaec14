"""The modules of queues' apps, as a process that enqueues has them."""

import os
from importlib import import_module
from types import ModuleType
from uuid import uuid4


def imported(name: str, redis_url: str) -> ModuleType:
    """Import an app, which reads its address from the environment."""
    before = os.environ.get("REDIS_URL")
    os.environ["REDIS_URL"] = redis_url
    try:
        return import_module(name)
    finally:
        os.environ.pop("REDIS_URL") if before is None else os.environ.update(REDIS_URL=before)


def new_key() -> str:
    """Return a key by which a task tells a test that it has begun."""
    return f"test:{uuid4()}"
