"""The calls of the API, for tests of what all of them have in common."""

from typing import Any, Final

import httpx

CALLS: Final = {
    "status": ("GET", "/api/v1/jobs/{}/status"),
    "stream": ("GET", "/api/v1/jobs/{}/stream"),
    "list": ("GET", "/api/v1/jobs"),
    "cancel": ("POST", "/api/v1/jobs/{}/cancel"),
    "retry": ("POST", "/api/v1/jobs/{}/retry"),
    "create": ("POST", "/api/v1/jobs"),
}
ON_A_JOB: Final = ("status", "stream", "cancel", "retry")
ON_WHAT_IS_THERE: Final = ("status", "stream", "list", "cancel", "retry")
"""Calls on an existing job, in an order in which all succeed for the owner of a queued one."""

FRESH: Final = {
    "status": "queued",
    "progress": 0,
    "currentStep": None,
    "estimatedTimeRemaining": None,
    "error": None,
    "errorCode": None,
    "result": None,
    "attempt": 1,
}
"""The status of a new job, without its id and times."""


async def call(
    client: httpx.AsyncClient,
    name: str,
    job_id: str = "",
    **options: Any,  # noqa: ANN401 - those of the client
) -> httpx.Response:
    """Make a call; only the head of a stream is read."""
    method, path = CALLS[name]
    if name == "create":
        options = {"json": {"type": "anything"}, **options}
    answer = await client.send(
        client.build_request(method, path.format(job_id), **options), stream=True
    )
    if answer.headers.get("content-type") != "text/event-stream":
        await answer.aread()
    await answer.aclose()
    return answer


async def create(client: httpx.AsyncClient, **body: Any) -> str:  # noqa: ANN401 - any JSON
    """Create a job and return its id."""
    answer = await call(client, "create", json={"type": "report", **body})
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["jobId"]
    return job_id


async def status_of(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    """Return the status of one of the caller's jobs."""
    answer = await call(client, "status", job_id)
    assert answer.status_code == 200
    status: dict[str, Any] = answer.json()
    return status


def without_times(status: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a status that are equal for all jobs in the same state."""
    return {k: v for k, v in status.items() if k not in {"jobId", "createdAt", "updatedAt"}}
