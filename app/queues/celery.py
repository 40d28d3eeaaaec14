"""A Celery queue, on any broker that Celery supports."""

from typing import Any, Final

from celery import Celery
from kombu.exceptions import KombuError

from app.queues.task_queue import Task
from jobcast.adapters._broker import check_broker
from jobcast.adapters._task import HEADER

_TIMEOUT_S: Final = 1.0
_OF_REDIS: Final = {"socket_timeout": _TIMEOUT_S, "socket_connect_timeout": _TIMEOUT_S}


class CeleryClient:
    """Sends tasks to a Celery queue.

    Args:
        url: URL of the broker.
        name: name of the queue.

    Raises:
        ValueError: the URL is invalid.
    """

    def __init__(self, url: str, name: str) -> None:
        check_broker(url)
        self._app = Celery("jobcast", broker=url, set_as_current=False)
        self._app.conf.update(
            broker_connection_timeout=_TIMEOUT_S,
            broker_transport_options=_OF_REDIS if url.startswith(("redis", "sentinel")) else {},
            task_default_queue=name,
            task_ignore_result=True,
        )

    def add(self, task: Task) -> None:
        """Send a task. If one attempt is sent twice, the worker refuses the second message."""
        headers: Any = {HEADER: dict(task.header)}
        try:
            self._app.send_task(
                task.name,
                kwargs=dict(task.arguments),
                task_id=task.entry_id,
                headers=headers,
                retry=False,
            )
        except KombuError as error:
            raise OSError(str(error)) from error

    def remove(self, entry_id: str, *, finished: bool) -> None:
        """Do nothing: brokers can't remove a task. Workers don't run an attempt that has ended."""
