"""The registry of job functions.

To add one, write an ``async def`` with ``@job("its-type")`` in a module, and name the module in
``python -m worker MODULE…``.
"""

import inspect
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import jobcast

JobFunction = Callable[[jobcast.Run], Awaitable[object]]
"""Executes a job: reports progress through its run, and returns its result, a JSON value."""
Function = TypeVar("Function", bound=JobFunction)


class Registry:
    """Job functions by type."""

    def __init__(self) -> None:
        self._functions: dict[str, JobFunction] = {}

    def job(self, job_type: str) -> Callable[[Function], Function]:
        """Register an ``async def`` for a type: ``@job("checksum")``.

        Raises TypeError if the function is no ``async def``, ValueError if the type is taken.
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
        """Return the function of a type; None if there is none."""
        return self._functions.get(job_type)


registry: Final = Registry()
"""The registry of this worker."""
job: Final = registry.job
