"""The worker process: takes jobs from the BullMQ queue and runs the function of their type.

`registry` maps job types to functions, `queue` serves BullMQ, `runner` runs the job of one queue
entry, `service` is the process from its start to SIGTERM.
"""
