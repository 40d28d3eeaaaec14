"""Payloads of every kind on a watched job's channel: its viewer gets the job's own events."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

import jobcast
from tests.fuzz.answers import check_frames
from tests.fuzz.bounds import bounded
from tests.fuzz.bystander import undisturbed
from tests.fuzz.corpus import Corpus
from tests.fuzz.publications import LAST, is_no_json, publications
from tests.support.service import SESSION, Service
from tests.support.sse import Event, watch
from tests.support.stored import log_of

CORPUS = Corpus("publications")
DROPPED = "jobcast_publications_dropped_total"


async def viewer_gets_the_log(service: Service, redis_url: str, payloads: list[bytes]) -> None:
    """Publish payloads between a job's events, and compare what its viewer got with its log."""
    async with (
        jobcast.connect(redis_url, progress_per_s=None) as jobs,
        Redis.from_url(redis_url, decode_responses=True) as redis,
    ):
        job_id = await jobs.create("anything", session_id=SESSION)
        before = (await service.metrics())[DROPPED]
        async with watch(service.url, job_id) as stream:
            await stream.until("progress-update")
            run = jobs.run(job_id)
            last = await run.start()
            with suppress(jobcast.JobFinished):  # by a payload, as a publish-only worker may
                for number, payload in enumerate(payloads):
                    sent = payload.replace(LAST, last.encode())
                    assert await redis.publish(f"jobs:{job_id}:events", sent) == 1
                    last = await run.emit("mark", {"number": number})
                    last = await run.progress(number % 101)
                await run.complete({"number": len(payloads)})
            events = await stream.rest()
            assert not stream.cut
            check_frames(stream.body)
        assert_all_there(events, await log_of(redis, job_id))
        dropped = (await service.metrics())[DROPPED] - before
        assert dropped >= sum(map(is_no_json, payloads[: number + 1]))


def assert_all_there(events: list[Event], log: list[tuple[str, dict[str, str]]]) -> None:
    """Check that each entry that is neither progress nor log-only came once, in order."""
    ids = {entry_id for entry_id, _ in log}
    shown = [
        (entry_id, fields["event"], json.loads(fields["data"]))
        for entry_id, fields in log
        if fields["event"] in {"mark", "complete", "failed"}
    ]
    got: list[Any] = [
        (event.id, event.name, event.data)
        for event in events
        if event.id in ids and event.name in {"mark", "complete", "failed"}
    ]
    assert got == shown
    assert events[-1].name == shown[-1][1]


@pytest.mark.filterwarnings("ignore:Generating overly large repr")
def test_a_viewer_gets_its_jobs_events_whatever_else_is_published(
    service: Service, redis_url: str
) -> None:
    with asyncio.Runner() as runner:

        @bounded(50)
        @given(st.lists(publications, min_size=1, max_size=20))
        def tried(payloads: list[bytes]) -> None:
            with CORPUS.trying(json.dumps([p.decode("latin-1") for p in payloads]).encode()):
                runner.run(viewer_gets_the_log(service, redis_url, payloads))

        with undisturbed(runner, service, redis_url), CORPUS.keeping():
            tried()


@CORPUS.each()
async def test_a_viewer_gets_its_jobs_events_where_it_once_did_not(
    service: Service, redis_url: str, kept: bytes
) -> None:
    payloads = [text.encode("latin-1") for text in json.loads(kept)]
    await viewer_gets_the_log(service, redis_url, payloads)
