"""The data in Redis and how they change, for this library and the service.

Internal to this repository: the interface may change at any time.
"""
