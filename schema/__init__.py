"""The frontend contract, the state of a job, and how both look in Redis and over HTTP.

Structs and pure functions only: no I/O, and no imports of the other packages.
"""
