"""The HTTP interface as its own description says: right data and wrong data to every operation."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.specs.openapi.checks import (
    ignored_auth,
    negative_data_rejection,
    positive_data_acceptance,
)

import jobcast
from tests.contract.files import FOLDER
from tests.fuzz.answers import check_error
from tests.fuzz.bounds import bounded
from tests.support.http_worker import worker_token
from tests.support.service import SESSION, Service
from tests.support.valkey import Valkey

FINISHED: Final = "finished"
MEANT: Final = [ignored_auth]
"""Who makes a session id up has one."""
LENIENT: Final = [*MEANT, negative_data_rejection, positive_data_acceptance]
"""What the query holds beyond the description is ignored, and a job may refuse what it gets, as may
a service that gets a job without an owner."""
WORKER: Final = {"Authorization": f"Bearer {worker_token()}"}
OF_WORKERS: Final = {"userId", "jobId", "queued"}
"""Fields of a creation that only workers may send."""
JOBS: Final = (FINISHED, "queued", "running", "cancelled", "foreign")

schema = schemathesis.openapi.from_dict(json.loads((FOLDER / "openapi-3.2.json").read_text()))
schema.config.generation.update(modes=list(GenerationMode))


@schema.hook
def flatmap_path_parameters(
    context: HookContext, path_parameters: dict[str, Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Mostly take jobs that there are; a stream only of one that has ended, or it stays open."""
    streams = context.operation is not None and context.operation.path.endswith("/stream")
    there_are = [{"jobId": name} for name in (JOBS[:1] if streams else JOBS)]
    return st.sampled_from([path_parameters, *there_are])


@pytest.fixture(scope="module")
def own_service(valkey: Valkey) -> Iterator[Service]:
    """Return a service with a job in each state."""

    async def make_jobs() -> None:
        async with jobcast.connect(valkey.url, progress_per_s=None) as jobs:
            for name in JOBS:
                owner = "another" if name == "foreign" else SESSION
                await jobs.create("anything", session_id=owner, job_id=name)
            async with jobs.run(FINISHED) as run:
                await run.progress(5, "Writing...", eta=1.5, phase="x")
                run.result = {"text": "é", "numbers": [1, 2.5, None]}
            await jobs.run("running").start()

    with Service(valkey.url) as running:
        valkey.flush()
        asyncio.run(make_jobs())
        yield running


@schema.parametrize()
@bounded(40)
def test_an_operation_does_what_its_description_says(case: Case[Any], own_service: Service) -> None:
    by_worker = _is_of_a_worker(case)
    creates = case.path.endswith("/jobs") and case.method == "POST"
    headers = WORKER if by_worker else {"x-session-id": SESSION}
    answer = case.call_and_validate(
        base_url=own_service.url,
        headers=headers,
        timeout=10,
        excluded_checks=MEANT if creates and not by_worker else LENIENT,
    )
    if answer.status_code >= 400 and case.method != "HEAD":
        check_error(answer.json())


def _is_of_a_worker(case: Case[Any]) -> bool:
    is_for_others = isinstance(case.body, dict) and not OF_WORKERS.isdisjoint(case.body)
    return case.path.endswith("/events") or is_for_others


@pytest.mark.parametrize("name", ["openapi.json", "openapi-3.2.json", "asyncapi.json"])
async def test_the_service_gives_the_contract_that_is_committed(
    name: str, own_service: Service
) -> None:
    async with own_service.client(None) as client:
        answer = await client.get(f"/{name}")
    assert answer.json() == json.loads((FOLDER / name).read_text())
