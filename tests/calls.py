"""The calls of the API, for what holds for each of them."""

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
"""In an order in which each can be done, to the owner of a queued job."""


async def call(
    client: httpx.AsyncClient,
    name: str,
    job_id: str = "",
    **options: Any,  # noqa: ANN401 - those of the client
) -> httpx.Response:
    """Make a call; of a stream that opens only the head is read."""
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
