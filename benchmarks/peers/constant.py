"""A Quart route that answers a status poll with a constant."""

from quart import Quart, Response

app = Quart(__name__)

_BODY = (
    b'{"jobId":"job-0","status":"running","progress":0,"currentStep":null,'
    b'"estimatedTimeRemaining":null,"error":null,"errorCode":null,"result":null,'
    b'"createdAt":"2024-11-23T17:20:00.000Z","updatedAt":"2024-11-23T17:20:00.000Z"}'
)


@app.get("/api/v1/jobs/<text>/status")
async def status(text: str) -> Response:  # noqa: ARG001 - the route's
    """Answer."""
    return Response(_BODY, content_type="application/json")
