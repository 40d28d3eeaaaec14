"""Appends for publish-only workers, and for queues whose code can't be changed.

Runs as a process of its own, ``jobcast bridge``: see docs/workers/bridge.md.
"""
