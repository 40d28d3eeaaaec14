"""The worker process: takes jobs from the BullMQ queue and runs the function of their type.

`registry` says which function runs a type of job, `entry` what the queue holds, `runner` runs one
entry, `queue` is BullMQ, `service` is the process from its start to SIGTERM.
"""
