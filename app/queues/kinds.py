"""Selection of the queue by the settings."""

from collections.abc import Callable
from importlib import import_module
from typing import Final

from app.queues import JobQueue
from app.queues.bullmq import BullQueue
from app.queues.none import RefusingQueue
from app.queues.task_queue import Client, TaskQueue
from app.settings import InvalidSettings, Settings, queue_tasks, variable
from jobcast.redis.caller import Caller

_CLIENTS: Final = {"celery": "CeleryClient", "rq": "RqClient"}
"""Class names by kind. Their modules are imported on demand, as their libraries are optional."""


def queue_of(settings: Settings, redis: Caller) -> JobQueue:
    """Return the queue of a service.

    Raises:
        InvalidSettings: its library is not installed, or its URL is invalid.
    """
    kind = settings.queue_kind
    if kind == "none":
        return RefusingQueue()
    if kind == "bullmq":
        return BullQueue(settings.queue, redis)
    try:
        make: Callable[[str, str], Client] = getattr(
            import_module(f"app.queues.{kind}"), _CLIENTS[kind]
        )
    except ModuleNotFoundError as error:
        raise InvalidSettings(
            f"{variable('queue_kind')}: {error.name} is not installed; jobcast-service[{kind}]"
            " brings it"
        ) from error
    try:
        client = make(settings.queue_url or settings.redis_url, settings.queue)
    except ValueError as error:
        if settings.queue_url:
            raise InvalidSettings(f"{variable('queue_url')}: {error}") from error
        raise InvalidSettings(
            f"{variable('redis_url')}: {error}; name that of {kind} by {variable('queue_url')}"
        ) from error
    return TaskQueue(queue_tasks(settings), redis, client)
