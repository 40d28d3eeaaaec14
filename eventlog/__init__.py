"""The log of every job in Redis: append, read, list.

The only package that knows what is stored where (names come from ``jobcast.protocol``) and, with
``actors.subscriptions``, the only one that talks to Redis.
"""
