"""A REDIS_URL that only Redis can judge ends a start with the reason, and no process that runs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.calls import create
from tests.support.deployments import USER
from tests.support.module_process import run_module
from tests.support.service import Service
from tests.support.sse import watch
from tests.support.valkey import HOST, Valkey, free_port
from tests.support.waiting import eventually
from tests.support.worker_process import WorkerProcess

PROCESSES = ("service", "worker")


@pytest.fixture(scope="module")
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as running:
        yield running


def ended(process: str, url: str) -> tuple[int, list[str]]:
    """Start a process on a Redis and wait for its end, which has to come by itself."""
    if process == "service":
        service = Service(url)
        code, said = run_module(service.arguments, service.environment)
    else:
        environment = {**os.environ, "REDIS_URL": url}
        code, said = run_module(["worker", "demo.checksum"], environment)
    return code, said.strip().splitlines()


def refusal(valkey: Valkey, case: str) -> tuple[str, str]:
    """Return an address that the server refuses, and what its reason begins with."""
    host = f"{HOST}:{valkey.port}"
    match case:
        case "a wrong password":
            return f"redis://:no@{host}", ""
        case "an unknown user":
            return f"redis://nobody:no@{host}", "invalid username-password pair"
        case "a database out of range":
            return f"redis://{host}/99", "DB index is out of range"
        case "a user without any right":
            return valkey.add_user("powerless", "secret", "-@all"), "User powerless has no perm"
        case "no Cluster":
            return f"redis+cluster://{host}", "This instance has cluster support disabled"
        case "an unknown user of Sentinels":
            user = "sentinel_username=nobody&sentinel_password=no"
            return f"redis+sentinel://{host}/name?{user}", "of the Sentinels: "
        case _:
            raise ValueError(case)


CASES = (
    *("a wrong password", "an unknown user", "a database out of range"),
    *("a user without any right", "no Cluster", "an unknown user of Sentinels"),
)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("case", CASES)
def test_a_start_that_redis_refuses_ends_with_the_reason(
    own_valkey: Valkey, process: str, case: str
) -> None:
    url, reason = refusal(own_valkey, case)
    code, told = ended(process, url)
    assert code == 2, told
    assert told[-1].startswith(f"REDIS_URL: Redis refuses it: {reason}"), told
    assert not any("Traceback" in line for line in told)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("redis://127.0.0.1:1?foo=1", "foo is no option"),
        ("redis+cluster://127.0.0.1:1?foo=1", "foo is no option"),
        ("redis+sentinel://127.0.0.1:1/name?foo=1", "foo is no option"),
        ("redis://127.0.0.1:1?client_name=job%20cast", "client_name: "),
        ("redis://127.0.0.1:1?db=x", "db: "),
        ("rediss://127.0.0.1:1?ssl_ca_certs=/nowhere.pem", "ssl_ca_certs: can't be read"),
    ],
)
def test_a_url_that_can_not_be_meant_ends_a_start_in_one_line(
    process: str, url: str, complaint: str
) -> None:
    code, told = ended(process, url)
    assert code == 2, told
    assert len(told) == 1, told
    assert (
        told[0].removeprefix("app.settings.InvalidSettings: ").startswith(f"REDIS_URL: {complaint}")
    )


async def test_a_password_that_changes_ends_no_service_that_runs(own_valkey: Valkey) -> None:
    with Service(own_valkey.add_user("service", "old", *USER)) as service:

        async def is_ready() -> bool:
            async with service.client(None) as client:
                assert (await client.get("/healthz")).status_code == 200
                return (await client.get("/readyz")).status_code == 200

        async def is_not_ready() -> bool:
            return not await is_ready()

        await eventually(is_ready)
        own_valkey.ask("ACL", "SETUSER", "service", "resetpass", ">new")
        own_valkey.ask("CLIENT", "KILL", "USER", "service")
        await eventually(is_not_ready)
        own_valkey.ask("ACL", "SETUSER", "service", ">old")
        await eventually(is_ready)


async def test_a_right_that_is_missing_is_logged_once_and_missed_no_more_once_granted(
    own_valkey: Valkey,
) -> None:
    with Service(own_valkey.add_user("service", "old", *USER)) as service:

        async def is_ready() -> bool:
            async with service.client(None) as client:
                return (await client.get("/readyz")).status_code == 200

        async def has_retried() -> bool:
            return (await service.metrics())["jobcast_redis_reconnects_total"] >= 4

        await eventually(is_ready)
        async with service.client() as client:
            job_id = await create(client)
        async with watch(service.url, job_id) as stream:
            await stream.until("progress-update")
            own_valkey.ask("ACL", "SETUSER", "service", "-subscribe", "-hmget")
            own_valkey.ask("CLIENT", "KILL", "USER", "service")
            await eventually(has_retried)
        async with service.client() as client:
            for _ in range(3):
                assert (await client.post("/api/v1/jobs", json={"type": "x"})).status_code == 503
        own_valkey.ask("ACL", "SETUSER", "service", "+subscribe", "+hmget")
        await eventually(is_ready)
        async with service.client() as client:
            assert (await client.post("/api/v1/jobs", json={"type": "x"})).status_code == 201
        for said, why in (("lost a subscriber", "NOPERM"), ("with 503", "'hmget' command")):
            lines = [line for line in service.log.splitlines() if said in line and why in line]
            assert len(lines) == 1, service.log


async def test_a_service_that_may_not_subscribe_is_not_ready_before_a_viewer_comes(
    own_valkey: Valkey,
) -> None:
    with Service(own_valkey.add_user("deaf", "secret", *USER, "-subscribe")) as service:

        async def is_deaf() -> bool:
            async with service.client(None) as client:
                is_ready = (await client.get("/readyz")).status_code == 200
            return not is_ready and "lost a subscriber connection: NOPERM" in service.log

        async def is_subscribed_no_more() -> bool:
            metrics = await service.metrics()
            return metrics["jobcast_subscribed"] == 1 and metrics["jobcast_channels"] == 0

        await eventually(is_deaf)
        own_valkey.ask("ACL", "SETUSER", "deaf", "+subscribe")
        await eventually(is_subscribed_no_more)


def test_a_password_that_changes_ends_no_worker_that_runs(own_valkey: Valkey) -> None:
    url = own_valkey.add_user("worker", "old", *USER)
    with WorkerProcess(url) as worker:
        own_valkey.ask("ACL", "SETUSER", "worker", "resetpass", ">new")
        own_valkey.ask("CLIENT", "KILL", "USER", "worker")
        worker.wait_for_log("invalid username-password pair")
        own_valkey.ask("ACL", "SETUSER", "worker", ">old")


def test_the_demo_says_what_its_redis_refuses(own_valkey: Valkey, tmp_path: Path) -> None:
    url, _ = refusal(own_valkey, "an unknown user")
    environment = {**os.environ, "REDIS_URL": url, "JOBCAST_DEMO_DATA": str(tmp_path)}
    code, said = run_module(["demo"], environment)
    assert code == 1
    assert "REDIS_URL: Redis refuses it: invalid username-password pair" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("process", PROCESSES)
def test_a_redis_that_can_not_be_reached_ends_no_start(process: str) -> None:
    url = f"redis://{HOST}:{free_port()}/0"
    if process == "service":
        with Service(url):
            pass
        return
    worker = WorkerProcess(url)
    worker.start()
    worker.wait_for_log("Redis is unavailable, waiting for it")
    worker.__exit__(None, None, None)


def test_the_demo_names_the_variable_of_a_folder_that_it_can_not_use(tmp_path: Path) -> None:
    taken = tmp_path / "a-file"
    taken.touch()
    code, said = run_module(["demo"], {**os.environ, "JOBCAST_DEMO_DATA": str(taken)})
    assert code == 1
    assert said.startswith(f"JOBCAST_DEMO_DATA: {taken} can't be used")
    assert len(said.splitlines()) == 1
