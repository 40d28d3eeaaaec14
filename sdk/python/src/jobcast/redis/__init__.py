"""Where Redis is and how to reach it, for this library and for the service.

Internal to this repository: the library makes no promise about it to anybody else.
"""
