"""The log of every job in Redis: append, read, follow, list.

The only package of the service that knows the keys of jobs (names come from ``jobcast.protocol``,
connections from ``jobcast.redis``).
"""
