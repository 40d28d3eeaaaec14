"""The worker process: takes jobs from the BullMQ queue and runs the function of their type.

`registry` maps job types to functions, `queue` takes entries from BullMQ, `runner` runs the job of
an entry, and `service` runs the process until SIGTERM.
"""
