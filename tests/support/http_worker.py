"""A worker without access to Redis, which appends over HTTP."""

from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from tests.support.service import Service, token

PUBLISH: Final = "jobs:publish"


def worker_token(**claims: Any) -> str:  # noqa: ANN401 - a claim is any JSON
    """Return a worker token; claims that are None are left out."""
    return token(**{"user": None, "scope": PUBLISH, **claims})


def event(seq: int, name: str = "progress-update", **data: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return an event for a batch."""
    return {"seq": seq, "event": name, "data": data}


START: Final = event(1, "step-change")


class HttpWorker:
    """Calls a service with a worker token, by default an unrestricted one."""

    def __init__(self, service: Service, given: str | None = None, **options: Any) -> None:  # noqa: ANN401
        self.client = service.client(None, **options)
        self.client.headers["Authorization"] = f"Bearer {given or worker_token()}"

    async def create(self, **body: Any) -> str:  # noqa: ANN401 - any JSON
        """Create a job that is not queued, and return its id."""
        given = {"type": "report", "sessionId": "session-1", "queued": False, **body}
        answer = await self.client.post("/api/v1/jobs", json=given)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["jobId"]
        return job_id

    async def post(self, job_id: str, body: Any, **options: Any) -> httpx.Response:  # noqa: ANN401
        """Send a body: any JSON, or raw bytes."""
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await self.client.post(f"/api/v1/jobs/{job_id}/events", **content, **options)

    async def send(self, job_id: str, run: str, *events: dict[str, Any], **more: Any) -> Any:  # noqa: ANN401
        """Append events and return the body of the response, which must be a 200."""
        answer = await self.post(job_id, {"run": run, "events": events, **more})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refusal(
        self,
        job_id: str,
        run: str,
        *events: dict[str, Any],
        **more: Any,  # noqa: ANN401
    ) -> tuple[int, str, list[str | None] | None]:
        """Append events that are refused; return the status, the code and the ids written."""
        answer = await self.post(job_id, {"run": run, "events": events, **more})
        body = answer.json()
        return answer.status_code, body["code"], body.get("ids")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.client.aclose()


def new_run() -> str:
    """Return a random run token."""
    return uuid4().hex
