"""Dramatiq: an actor that reports to its run, and a bar in a browser that follows it.

export REDIS_URL=redis://127.0.0.1:6379/0
dramatiq dramatiq_report &
python dramatiq_report.py
"""

import os
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

import jobcast.sync
from jobcast.adapters.dramatiq import Jobcast

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")

broker = RedisBroker(url=URL)
broker.add_middleware(Jobcast(URL))
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=3)
def report(pages: int) -> None:
    """Write a report; a failure is tried again, as the job's next attempt."""
    for _ in jobcast.sync.current_run().track(range(pages), "Writing", unit="page"):
        time.sleep(0.1)


if __name__ == "__main__":
    with jobcast.owner(user_id="dev"):
        print(report.send(100).message_id)
