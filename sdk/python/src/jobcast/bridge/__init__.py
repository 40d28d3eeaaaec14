"""Appends for those who can't: publish-only workers, and queues whose code can't be changed.

A process of its own, ``jobcast bridge``: see docs/workers/bridge.md.
"""
