"""Adapters: the tasks of a queue as jobs of Jobcast, registered in one line.

Each module is for one queue and needs that queue's library. What an adapter does:

- A task that is enqueued with an owner (`jobcast.owner`, or an argument) is a queued job. One
  without is not followed, which is logged once.
- Its executions are runs: `jobcast.current_run` is the run within a task, its retries are attempts,
  its result completes the job and its exception fails it.
- Nothing of Jobcast breaks a task or the enqueueing of one: refusals and outages are logged, and
  the task goes on.

**How an adapter is built** (internal to this package). Make one `_blocking.Tasks` or
`_asyncio.Tasks` of the URL and the settings that `install` was given; it may be made before a fork.

1. Before a message is sent: ``ticket = tasks.enqueued(task_id, task_name, owner)``, and send
   ``ticket.to_header()`` along with the message under `_task.HEADER`, if it is not None. Do so for
   the first message alone: a message that a retry sends again keeps its header.
2. In the worker, in the context of the task and right before it: ``task =
   tasks.begin(Ticket.from_header(header), on_cancel)``, also for a message without a header: then
   the run of the task takes every call and sends nothing, so that tasks need not ask. Hold on to
   ``task`` until the task has ended. ``on_cancel`` is called, in another thread or by the event
   loop, when the renewal of the lease shows a cancel request: abort the task there if the queue
   can. If ``task.is_cancelled``, the task must not run: acknowledge the message. The job was
   cancelled before, or the service has queued the message for an attempt that is over; so use
   ``ticket.of_any_attempt()`` for a message that the queue's own retry has sent again.
3. While it runs: ``task.report(meta)`` forwards what the queue's own call for progress was given
   (`_report` says which keys are understood). It raises `JobCancelled`, in the task, when the job
   was asked to stop, and nothing else.
4. After it: one of ``task.complete(result)``, ``task.fail(error)``, ``task.retry(error)`` (the
   queue will run it again) and ``task.cancel()`` (it was aborted, in the queue or by
   `JobCancelled`); ``task.fail`` does the latter by itself for a `JobCancelled`. Or
   ``task.leave()``, if another worker will go on with it. All of them end the context that `begin`
   has made.
5. From outside of the worker: ``tasks.cancel(ticket)`` when the queue revokes a task that may not
   have begun, ``tasks.end(ticket, error, code)`` when the queue knows that the worker's process is
   gone. Without that, the lease ends the job with ``STALLED``.

None of these raises, but for ``report``; with `_asyncio.Tasks` all but ``leave`` are awaited.
"""
