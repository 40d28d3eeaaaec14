"""``jobcast-service dev``, as a developer of a worker or of a page starts it."""

import asyncio
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.demo_process import DevProcess
from tests.support.sse import watch
from tests.support.valkey import HOST, free_port


def output_of(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_what_it_prints_works(tmp_path: Path) -> None:
    port = free_port()
    blank = dict.fromkeys(("REDIS_URL", "JWT_SECRET", "JOBCAST_CORS_ORIGINS"), " ")
    with DevProcess(tmp_path / "data", "--port", str(port), **blank) as dev:
        assert dev.url == f"http://{HOST}:{port}"
        program = dev.snippet.replace("range(100)", "range(3)")
        printed = await asyncio.to_thread(output_of, program)
        job_id, session = printed.strip().partition("#job=")[2].split("&session=")
        async with watch(dev.url, job_id, session=session) as stream:
            await stream.until("complete")
        headers = {"authorization": f"Bearer {dev.token}", "origin": "null"}  # of a file
        async with httpx.AsyncClient(base_url=dev.url, headers=headers) as client:
            status = await client.get(f"/api/v1/jobs/{job_id}/status")
            assert status.json()["status"] == "succeeded"
            for answer in (status, await client.get("/jobcast-element.js")):
                assert answer.headers["access-control-allow-origin"] == "*"
            refused = await client.post("/api/v1/jobs", json={"type": "report"})
            assert refused.json()["code"] == "NO_QUEUE"
        assert "error" not in dev.logs.lower()
        # Neither is for others on the machine, nor for the repository that the folder is in.
        assert (tmp_path / "data" / ".gitignore").read_text() == "*\n"
        for secret in ("session", "secret"):
            assert (tmp_path / "data" / secret).stat().st_mode & 0o077 == 0


async def test_a_second_start_has_the_token_the_redis_and_the_jobs_of_the_first(
    tmp_path: Path,
) -> None:
    # As if kept by a start before: one that the system gives to nobody else meanwhile.
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "valkey.port").write_text(str(free_port()))
    tokens = {"JOBCAST_JWT_ISSUER": "https://issuer.example", "JOBCAST_JWT_AUDIENCE": "jobs"}
    with DevProcess(tmp_path / "data", **tokens) as dev:
        token, program = dev.token, dev.snippet.replace("range(100)", "range(1)")
        redis_url = dev.redis_url
        await asyncio.to_thread(output_of, program)
    tokens["REDIS_URL"] = redis_url  # as in a worker's shell
    with DevProcess(tmp_path / "data", **tokens) as dev:
        # The program names the address of Redis, as the settings of workers do.
        await asyncio.to_thread(output_of, program)
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=dev.url, headers=headers) as client:
            assert len((await client.get("/api/v1/jobs")).json()["jobs"]) == 2


def test_a_port_that_is_taken_or_none_is_named(tmp_path: Path) -> None:
    with DevProcess(tmp_path / "data") as dev:
        taken = dev.url.rpartition(":")[2]
        with (
            pytest.raises(RuntimeError, match=f"Port {taken} is not free on {HOST}"),
            DevProcess(tmp_path / "other", "--port", taken),
        ):
            pass
    with (
        pytest.raises(RuntimeError, match="'http' is no port"),
        DevProcess(tmp_path, "--port=http"),
    ):
        pass


def test_a_setting_that_is_wrong_is_named_before_anything_starts(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="JOBCAST_JWT_ALGORITHMS: HS1 is not among"),
        DevProcess(tmp_path / "data", JOBCAST_JWT_ALGORITHMS="HS1"),
    ):
        pass
    assert not list((tmp_path / "data").glob("*.log"))
