"""The log of every job in Redis: append, read, follow, list.

The only package that knows what is stored where (names come from ``jobcast.protocol``), and the
only one that talks to Redis.
"""
