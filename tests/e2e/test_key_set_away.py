"""A key set by URL that is unavailable: a 503, not a 401."""

from collections.abc import Callable
from typing import Any

import pytest

import jobcast
from tests.support.calls import CALLS, call
from tests.support.key_server import KeyServer
from tests.support.keys import PAIRS, key_set, new_pair
from tests.support.service import SESSION, Service, token
from tests.support.sse import watch
from tests.support.valkey import Valkey
from tests.support.waiting import eventually

PAIR = PAIRS["ES256"]
SET = key_set(PAIR)
STRANGER = new_pair("RS256").token()  # names a key that is not in the set

AWAY: dict[str, Callable[[KeyServer], None]] = {
    "503": lambda server: server.answer(b"HTTP/1.1 503 Away\r\n\r\n"),
    "refuses": lambda server: server.close(),
    "redirects": lambda server: server.answer(b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"),
    "mute": lambda server: server.mute(),
    "a byte now and then": lambda server: server.trickle(),
    "no key": lambda server: server.publish('{"keys":[]}'),
    "endless": lambda server: server.pour(),
}


def service_of(valkey: Valkey, server: KeyServer, **more: str) -> Service:
    settings: dict[str, Any] = {
        "JOBCAST_JWT_ALGORITHMS": "HS256 ES256 RS256",
        "JOBCAST_JWT_JWKS": server.url,
        "JOBCAST_COOKIE_NAME": "auth",
        **more,
    }
    return Service(valkey.url, **settings)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def statuses(service: Service, job_id: str, **who: Any) -> set[int]:  # noqa: ANN401 - any request
    """Return how a service answers calls that change nothing."""
    async with service.client(None) as client:
        answers = [await call(client, name, job_id, **who) for name in ("status", "stream", "list")]
    for answer in answers:
        if answer.status_code == 503:
            assert answer.json()["code"] == "SERVICE_UNAVAILABLE"
            assert int(answer.headers["Retry-After"]) > 0
    return {answer.status_code for answer in answers}


async def is_ready(service: Service) -> bool:
    async with service.client(None) as client:
        return (await client.get("/readyz")).status_code == 200


async def is_away(service: Service) -> bool:
    return (await service.metrics())["jobcast_key_set_available"] == 0


@pytest.mark.parametrize("kind", AWAY)
async def test_while_the_keys_cant_be_had_no_token_is_called_bad(
    valkey: Valkey, jobs: jobcast.Jobs, kind: str
) -> None:
    job_id = await jobs.create("anything", user_id="user-1", session_id=SESSION)
    good = bearer(PAIR.token())
    with KeyServer(SET) as server:
        AWAY[kind](server)
        with service_of(valkey, server) as service:
            for who in (good, good | {"x-session-id": SESSION}, {"Cookie": f"auth={PAIR.token()}"}):
                assert await statuses(service, job_id, headers=who) == {503}
            assert await statuses(service, job_id, params={"token": PAIR.token()}) == {503}
            async with service.client() as client:
                for name in CALLS:
                    assert (await call(client, name, job_id, headers=good)).status_code == 503
                mine = (await client.get("/api/v1/jobs")).json()["jobs"]
                assert [job["jobId"] for job in mine] == [job_id]
                assert mine[0]["status"] == "queued"
            async with watch(service.url, job_id, last_event_id="0-0", headers=good) as stream:
                assert stream.status == 200
                assert await stream.rest() == []
                assert stream.body.startswith(b": unavailable\nretry: ")
            assert not await is_ready(service)
            assert await is_away(service)
            # What needs no key of the set goes on.
            assert await statuses(service, job_id, headers={"x-session-id": SESSION}) == {200}
            assert await statuses(service, job_id, headers=bearer(token())) == {200}
            expired = bearer(PAIR.token(exp=1))
            assert await statuses(service, job_id, headers=expired) == {401}

            server.close()
            server.publish(SET)
            server.start()
            await eventually(lambda: is_ready(service))
            assert await statuses(service, job_id, headers=good) == {200}
            metrics = await service.metrics()
            assert metrics["jobcast_key_set_available"] == 1
            assert metrics["jobcast_key_set_failures_total"] >= 1
            lines = [line for line in service.log.splitlines() if "the key set" in line]
            assert len(lines) == 2
            assert "is unavailable" in lines[0]
            assert lines[1].endswith("is available again")
            assert "hidden" not in service.log


@pytest.mark.parametrize("kind", ["refuses", "mute"])
async def test_the_last_good_set_is_the_word_on_its_keys_meanwhile(
    valkey: Valkey, jobs: jobcast.Jobs, kind: str
) -> None:
    job_id = await jobs.create("anything", user_id="user-1")
    with KeyServer(SET) as server, service_of(valkey, server) as service:
        await eventually(lambda: is_ready(service))
        AWAY[kind](server)
        assert await statuses(service, job_id, headers=bearer(STRANGER)) == {503}
        for number in range(3):
            good = bearer(PAIR.token(jti=number))
            assert await statuses(service, job_id, headers=good) == {200}
            forged = bearer(new_pair("ES256").token())
            assert await statuses(service, job_id, headers=forged) == {401}
        assert await is_ready(service)
        await eventually(lambda: is_away(service))


async def test_a_token_that_cant_be_judged_is_passed_over_for_none_that_follows(
    valkey: Valkey, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("anything", user_id="user-1")
    untold, good, bad = PAIR.token(), token(), token(exp=1)
    with KeyServer(SET) as server:
        server.close()
        with service_of(valkey, server) as service:
            for headers, params, expected in (
                (bearer(untold), {"token": good}, 503),
                (bearer(good), {"token": untold}, 200),
                (bearer(bad), {"token": untold}, 503),
                (bearer(bad), {"token": good}, 200),
                ({"Cookie": f"auth={untold}; auth={good}"}, {}, 503),
                ({"Cookie": f"auth={good}; auth={untold}"}, {}, 200),
                ({"Cookie": f"auth={untold}"}, {"token": good}, 503),
            ):
                assert await statuses(service, job_id, headers=headers, params=params) == {expected}
            # From elsewhere the cookie would not count if it were good.
            elsewhere = {"Cookie": f"auth={untold}", "Origin": "https://elsewhere.example"}
            async with service.client(None) as client:
                for params, expected in (({}, 401), ({"token": good}, 200)):
                    answer = await call(client, "cancel", job_id, headers=elsewhere, params=params)
                    assert answer.status_code == expected


async def test_new_keys_are_taken_over_when_a_token_needs_one(
    valkey: Valkey, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("anything", user_id="user-1")
    new = PAIRS["RS256"]
    with KeyServer(SET) as server, service_of(valkey, server) as service:
        assert await statuses(service, job_id, headers=bearer(PAIR.token())) == {200}
        server.publish(key_set(new))
        assert await statuses(service, job_id, headers=bearer(new.token())) == {200}
        assert await statuses(service, job_id, headers=bearer(PAIR.token())) == {401}
        assert server.requests == 2


async def test_a_service_stops_in_good_order_while_a_fetch_is_under_way(valkey: Valkey) -> None:
    with KeyServer(SET) as server:
        server.mute()
        with service_of(valkey, server) as service:

            async def is_asked() -> bool:
                return server.requests > 0

            await eventually(is_asked)
            assert service.stop() == 0
