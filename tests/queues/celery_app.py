"""An app of Celery as its users write it: one line of it is Jobcast's."""

import os
import time

from celery import Celery, Task
from celery.exceptions import Ignore, Reject
from redis import Redis

import jobcast
import jobcast.sync
from jobcast.adapters.celery import install

PATIENCE_S = 60.0
SHORT_LEASE_S = 1.0

url = os.environ.get("REDIS_URL", "redis://127.0.0.1:1/0")
app = Celery("tests.queues.celery_app", broker=url, backend=url)
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"visibility_timeout": 3600, "socket_timeout": 5},
    worker_prefetch_multiplier=1,
    result_expires=600,
)
install(app, os.environ.get("JOBCAST_URL", url), lease_s=SHORT_LEASE_S, block_s=1, enqueue_s=1)


@app.task(bind=True)
def report(self: Task, pages: int) -> dict[str, int]:
    """Report in Celery's own way."""
    for page in range(1, pages + 1):
        self.update_state(state="PROGRESS", meta={"current": page, "total": pages, "phase": "a"})
    return {"pages": pages}


@app.task
def report_to_the_run() -> str:
    """Report to Jobcast itself, and enqueue another task."""
    run = jobcast.sync.current_run()
    assert run is not None
    for _ in run.track(range(3), "Counting", unit="page"):
        run.log("one more")
    with jobcast.owner():
        report.delay(1)
    return str(report.delay(2).id)


@app.task
def report_to_the_run_alone() -> str:
    """Report to Jobcast itself."""
    run = jobcast.sync.current_run()
    assert run is not None
    run.progress(40, "Writing")
    return "done"


@app.task
def fail() -> None:
    """Fail."""
    raise ValueError("no such page")


@app.task(bind=True, max_retries=2)
def retry_once(self: Task, countdown: int) -> str:
    """Ask for another attempt, and say something after that."""
    run = jobcast.sync.current_run()
    assert run is not None
    if self.request.retries:
        return "done"
    try:
        int("no number")
    except ValueError as error:
        self.retry(exc=error, countdown=countdown, throw=False)
    run.log("what nobody hears any more")
    current = jobcast.sync.current_run()
    assert current is not None
    current.progress(99)
    return "what nobody hears"


@app.task(bind=True, autoretry_for=(Exception,), max_retries=1, default_retry_delay=0)
def retry_by_itself(self: Task) -> str:
    """Fail at the first attempt."""
    if not self.request.retries:
        raise OSError("no route")
    return "done"


@app.task(bind=True, autoretry_for=(Exception,), max_retries=3, default_retry_delay=0)
def work_on(self: Task, step: str) -> None:
    """Report until somebody stops it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        self.update_state(state="WORKING", meta={"step": step})
        time.sleep(0.05)


@app.task(bind=True, max_retries=3, default_retry_delay=0)
def work_on_and_retry(self: Task, step: str) -> None:
    """Do so; whatever goes wrong is tried again, as Celery's manual has it."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            self.update_state(state="WORKING", meta={"step": step})
        except Exception as error:
            raise self.retry(exc=error) from error
        time.sleep(0.05)


@app.task(acks_late=True, reject_on_worker_lost=True)
def say_nothing_and_come_again(key: str) -> None:
    """As the next; it is delivered again when its worker is lost."""
    say_nothing(key)


@app.task
def say_nothing(key: str) -> None:
    """Say to the test that it has begun, then nothing until it is killed; once."""
    with Redis.from_url(url) as redis:
        if redis.set(key, os.getpid(), nx=True):
            time.sleep(PATIENCE_S)


@app.task(bind=True)
def wait_for(self: Task, key: str) -> str:
    """Go on when the test says so."""
    self.update_state(state="PROGRESS", meta={"step": "Waiting"})
    with Redis.from_url(url) as redis:
        redis.blpop([key], PATIENCE_S)
    self.update_state(state="PROGRESS", meta={"step": "Going on"})
    return "done"


@app.task(time_limit=1)
def take_too_long() -> None:
    """Be killed for it."""
    time.sleep(PATIENCE_S)


@app.task
def return_a_lot() -> str:
    """Return more than a job takes."""
    return "x" * 2_000_000


@app.task(bind=True)
def report_a_lot(self: Task) -> None:
    """Report what progress is not made for."""
    self.update_state(state="PROGRESS", meta={"progress": "50", "rows": ["x" * 100] * 1000})
    self.update_state(state="PROGRESS", meta="what is no mapping")
    self.update_state(task_id="another", state="PROGRESS", meta={"progress": 99})


@app.task(bind=True)
def end_by_hand(self: Task, state: str) -> None:
    """Set the state and leave, as Celery's manual has it."""
    self.update_state(state=state, meta={"exc_type": "Custom", "exc_message": "by hand"})
    raise Ignore


@app.task(bind=True)
def replace(self: Task) -> None:
    """Have another task take the place."""
    raise self.replace(report.s(2))


@app.task
def reject() -> None:
    """Refuse to run."""
    raise Reject("not mine", requeue=False)


@app.task
def add(first: int, second: int) -> int:
    """Add."""
    return first + second


@app.task
def total(numbers: list[int]) -> int:
    """Add all."""
    return sum(numbers)
