"""Addresses of Redis and connections to it, for this library and the service.

Internal to this repository: the interface may change at any time.
"""
