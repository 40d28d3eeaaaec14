"""Adapters: each turns the tasks of one queue into jobs of Jobcast, with one line of code.

Each module needs the library of its queue. What an adapter does:

- It *follows* each task that is enqueued with an owner (`jobcast.owner`, or an argument): it
  creates a queued job for the task. A task without an owner is not followed; that is logged once.
- Each execution of a followed task is a run, which `jobcast.current_run` returns in the task.
  Retries are attempts, the result completes the job, an exception fails it.
- Jobcast breaks neither a task nor its enqueueing: refusals and outages are logged, and the task
  goes on.

**How to write an adapter** (internal to this package). Create one `_blocking.Tasks` or
`_asyncio.Tasks` from the URL and the settings that the adapter gets, before or after a fork.

1. Before a message is sent, call ``ticket = tasks.enqueued(task_id, task_name, owner)``. Unless the
   ticket is None, send ``ticket.to_header()`` with the message, under `_task.HEADER`. Do so only
   for the first message: when a retry sends the message again, it keeps its header. If the queue
   copies headers to the messages of other tasks, give both ``to_header`` and ``from_header`` the
   task's id. A queue whose callers set headers may also take the owner from them (`_task.owned_by`
   and `owner_of`).
2. In the worker, in the task's context right before it runs, call ``task =
   tasks.begin(Ticket.from_header(header), on_cancel)``. Do so for a message without a header too:
   its run accepts every call and sends nothing, so tasks need no check. Keep a reference to
   ``task`` until the task has ended. When the job is cancelled and the task does not stop by itself
   (see `_abort`), ``on_cancel`` is called, in another thread or by the event loop: abort the task
   there if the queue can. If ``task.is_cancelled``, don't run the task, but acknowledge the
   message: the job was cancelled before, or the service queued the message for an attempt that is
   over. So use ``ticket.of_any_attempt()`` for a message that the queue's own retry sent again.
3. While it runs, ``task.report(meta)`` forwards what the task passes to the queue's own progress
   call (`_report` lists the keys). It raises `JobCancelled` in the task if the job was asked to
   stop, and nothing else.
4. When it has ended, call one of ``task.complete(result)``, ``task.fail(error)``,
   ``task.retry(error, in_s=…)`` (the queue will run the task again, in so many seconds),
   ``task.cancel()`` (the queue or a `JobCancelled` aborted it; ``task.fail`` of a `JobCancelled`
   does the same) and ``task.leave()`` (another worker will take the job over). Each also restores
   the context that `begin` changed, so call it after the queue has enqueued what follows the task:
   that inherits the owner. The queue must not run a task again that raised `JobCancelled`; if it
   retries every exception, prevent that.
5. From outside the worker, call ``tasks.cancel(ticket)`` when the queue revokes a task that may not
   have begun, and ``tasks.end(ticket, error, code)`` when the queue detects that the worker's
   process died (with ``is_retried`` if it runs the task again). Otherwise the job fails with
   ``STALLED`` when its lease expires.
6. Close the connections with ``tasks.close()`` or ``await tasks.aclose()`` when the worker ends. A
   queue with a process for each task stores what the process could not send for the next one: see
   `_unsent`.

Only ``report`` raises. With `_asyncio.Tasks`, await all of them but ``leave``.
"""
