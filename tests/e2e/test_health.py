"""What operators look at, and how the service starts."""

import re
from typing import Any

import pytest

from tests.support.calls import create
from tests.support.module_process import run_module
from tests.support.service import SESSION, Service
from tests.support.sse import watch
from tests.support.valkey import Valkey
from tests.support.waiting import SLACK_SECONDS, eventually

METRICS = {
    "jobcast_streams": "gauge",
    "jobcast_actors": "gauge",
    "jobcast_channels": "gauge",
    "jobcast_subscribed": "gauge",
    "jobcast_streams_opened_total": "counter",
    "jobcast_publications_dropped_total": "counter",
    "jobcast_publications_refused_total": "counter",
    "jobcast_runs_stalled_total": "counter",
    "jobcast_redis_reconnects_total": "counter",
}


async def is_ready(service: Service) -> bool:
    async with service.client(None) as client:
        return (await client.get("/readyz")).status_code == 200


async def test_a_service_is_alive_and_ready_for_anyone(service: Service) -> None:
    async with service.client(None) as client:
        for path, state in (("/healthz", "alive"), ("/readyz", "ready")):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, {"status": state})
            assert answer.headers["cache-control"] == "no-store"
            assert (await client.head(path)).status_code == 200


async def test_a_service_without_redis_is_alive_but_not_ready() -> None:
    with Valkey() as valkey, Service(valkey.url) as service:
        await eventually(lambda: is_ready(service))
        valkey.kill()
        async with service.client(None) as client:
            answer = await client.get("/readyz")
            assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})
            assert (await client.get("/healthz")).status_code == 200
            assert "jobcast_streams 0.0" in (await client.get("/metrics")).text
        valkey.start()
        await eventually(lambda: is_ready(service))
        valkey.pause()
        async with service.client(None) as client:
            answer = await client.get("/readyz")
            assert answer.status_code == 503
            assert answer.elapsed.total_seconds() < 2 + SLACK_SECONDS
            assert (await client.get("/healthz")).status_code == 200
        valkey.resume()
        await eventually(lambda: is_ready(service))


async def test_metrics_are_prometheus_text_with_help_and_type(service: Service) -> None:
    async with service.client(None) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4"
    lines = answer.text.splitlines()
    names = {line.split()[0] for line in lines if not line.startswith("#")}
    assert names == set(METRICS)
    for name, kind in METRICS.items():
        assert f"# TYPE {name} {kind}" in lines
        assert any(line.startswith(f"# HELP {name} ") for line in lines)
        assert any(re.fullmatch(rf"{name} \d+(\.\d+)?", line) for line in lines)


async def test_metrics_count_streams(service: Service) -> None:
    async with service.client() as client:
        job_id = await create(client)
    opened = (await service.metrics())["jobcast_streams_opened_total"]
    async with watch(service.url, job_id, session=SESSION) as stream:
        await stream.until("progress-update")

        async def counted() -> bool:
            metrics = await service.metrics()
            return metrics["jobcast_streams"] >= 1 and metrics["jobcast_actors"] >= 1

        await eventually(counted)
        assert (await service.metrics())["jobcast_streams_opened_total"] == opened + 1

    async def gone() -> bool:
        return (await service.metrics())["jobcast_streams"] == 0

    await eventually(gone)


async def test_the_interface_describes_itself(service: Service) -> None:
    async with service.client(None) as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    description = answer.json()
    stream = description["paths"]["/api/v1/jobs/{jobId}/stream"]["get"]
    names = [(parameter["in"], parameter["name"]) for parameter in stream["parameters"]]
    assert names == [("header", "Last-Event-ID"), ("query", "from"), ("query", "ping")]
    schemas = description["components"]["schemas"]
    reasons = schemas["ResetData"]["properties"]["reason"]["enum"]
    assert sorted(reasons) == ["attempt", "trimmed", "unknown"]
    assert all("attempt" in schemas[name]["required"] for name in ("JobStatus", "JobSummary"))
    assert description["openapi"].startswith("3.")
    assert set(description["paths"]) >= {
        "/api/v1/jobs",
        *(f"/api/v1/jobs/{{jobId}}/{name}" for name in ("status", "stream", "cancel", "retry")),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"JWT_SECRET": ""}, "JWT_SECRET: set it to the secret that your tokens are signed with"),
        ({"JOBCAST_KEEPALIVE_S": "0"}, "JOBCAST_KEEPALIVE_S: "),
        ({"REDIS_URL": "redis://127.0.0.1:port"}, "REDIS_URL: "),
        ({"REDIS_URL": "redis://127.0.0.1?socket_timeout=soon"}, "REDIS_URL: "),
        (
            {"JOBCAST_JWT_ALGORITHMS": "RS256", "JOBCAST_JWT_JWKS": "pyproject.toml"},
            "JOBCAST_JWT_JWKS: ",
        ),
    ],
    ids=["no key", "a wrong number", "a wrong port", "a wrong option", "a wrong key set"],
)
def test_a_service_that_is_set_wrongly_does_not_start_and_says_why(
    settings: dict[str, Any], message: str
) -> None:
    service = Service("redis://127.0.0.1:1/0", **settings)
    code, said = run_module(service.arguments, service.environment)
    assert code != 0
    last_line = said.strip().splitlines()[-1]
    assert re.fullmatch(rf"app\.settings\.InvalidSettings: {re.escape(message)}.*", last_line)


async def test_a_service_starts_without_redis_and_finds_it_later() -> None:
    with Valkey() as valkey:
        valkey.kill()
        with Service(valkey.url) as service:
            assert not await is_ready(service)
            valkey.start()
            await eventually(lambda: is_ready(service))
            async with service.client() as client:
                assert await create(client)
