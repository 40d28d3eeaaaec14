"""Which function runs which type of job.

A job of your own is an ``async def`` under ``@job("its-type")`` in a module that
``python -m worker MODULE…`` names.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import jobcast

JobFunction = Callable[[jobcast.Run], Awaitable[object]]
"""Does a job, reporting through its run, and returns the job's result, a JSON value."""
Function = TypeVar("Function", bound=JobFunction)


class Registry:
    """The functions that a worker has, by type of job."""

    def __init__(self) -> None:
        self._functions: dict[str, JobFunction] = {}

    def job(self, job_type: str) -> Callable[[Function], Function]:
        """Register an ``async def`` for a type: ``@job("checksum")``.

        TypeError for a function that is not one, ValueError for a type that is taken.
        """

        def register(function: Function) -> Function:
            is_async = inspect.iscoroutinefunction(function)
            if not is_async:
                raise TypeError(f"the function of the job type {job_type} must be an async def")
            if job_type in self._functions:
                raise ValueError(f"the job type {job_type} has a function already")
            self._functions[job_type] = function
            return function

        return register

    def function(self, job_type: str) -> JobFunction | None:
        """Return the function of a type, None for a type that has none."""
        return self._functions.get(job_type)


registry: Final = Registry()
"""The functions of this worker."""
job: Final = registry.job
