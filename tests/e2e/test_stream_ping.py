"""Keepalives that a page can see."""

import asyncio

import pytest

import jobcast
from tests.support.service import SESSION, WAYS, Service, Way
from tests.support.sse import request, watch

KEEPALIVE = b": keepalive\n\n"
PING = b"event: ping\ndata: {}\n\n"


@pytest.mark.parametrize("way", WAYS)
async def test_who_asks_for_pings_gets_them_in_place_of_comments(
    jobs: jobcast.Jobs, redis_url: str, way: Way
) -> None:
    job_id = await jobs.create("anything", session_id=SESSION)
    with Service(redis_url, way=way, JOBCAST_KEEPALIVE_S="1") as service:
        stream = f"/api/v1/jobs/{job_id}/stream?sessionId={SESSION}"
        async with (
            request(service.url, f"{stream}&ping=1") as pinged,
            request(service.url, f"{stream}&ping=0") as other,
            watch(service.url, job_id) as third,
        ):
            for each in (pinged, other, third):
                last = (await each.until("progress-update"))[-1].id
            await pinged.received(PING + PING)
            await asyncio.gather(*(each.received(KEEPALIVE + KEEPALIVE) for each in (other, third)))
            assert KEEPALIVE not in pinged.body
            assert PING not in other.body + third.body
            run = jobs.run(job_id)
            await run.start()
            *pings, _ = await pinged.until("step-change")
            assert {(ping.name, str(ping.data), ping.id) for ping in pings} == {
                ("ping", "{}", last)
            }
            before = len(pinged.body)
            await run.complete({"n": 1})
            [end] = await pinged.rest()
            assert end.name == "complete"
            assert pinged.body[before:].startswith(b"id: ")
