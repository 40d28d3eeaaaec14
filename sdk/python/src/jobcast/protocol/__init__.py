"""What is in Redis and how it changes: shared by this library and the service.

Internal to this repository: the library makes no promise about it to anybody else.
"""
