"""Who may do what, for each source of an identity and each call."""

import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

import jobcast
from tests.support.calls import CALLS, ON_WHAT_IS_THERE, call
from tests.support.service import SECRET, SESSION, Service, token
from tests.support.valkey import Valkey

ORIGIN = "https://allowed.example"
NOBODY = {
    "success": False,
    "error": "Unauthorized",
    "message": "Authentication or session ID (x-session-id) is required",
    "code": "UNAUTHORIZED",
}
GRANTED = dict.fromkeys(ON_WHAT_IS_THERE, 200)
HIDDEN = dict.fromkeys(ON_WHAT_IS_THERE, 404)
UNAUTHORIZED = dict.fromkeys(ON_WHAT_IS_THERE, 401)

MINE = token("user-1")
THEIRS = token("user-2")
BAD = token("user-1", exp=int(time.time()) - 10)

Row = dict[str, Any]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def session(text: str) -> dict[str, str]:
    return {"x-session-id": text}


def row(headers: dict[str, str] | None = None, **params: str) -> Row:
    return {"headers": headers or {}, "params": params}


async def answers(service: Service, job_id: str, who: Row) -> dict[str, int]:
    """Return the status of each call on a queued job; 404 for a list without it."""
    statuses = {}
    async with service.client(None) as client:
        for name in ON_WHAT_IS_THERE:
            answer = await call(client, name, job_id, **who)
            statuses[name] = answer.status_code
            if statuses[name] == 401:
                assert answer.json() == NOBODY
            elif name == "list" and job_id not in [job["jobId"] for job in answer.json()["jobs"]]:
                statuses[name] = 404
    return statuses


@pytest.fixture(scope="module")
def with_cookie(valkey: Valkey) -> Iterator[Service]:
    settings: dict[str, Any] = {"JOBCAST_COOKIE_NAME": "jwt", "JOBCAST_CORS_ORIGINS": ORIGIN}
    with Service(valkey.url, **settings) as running:
        yield running


@pytest.fixture
def cookie_service(with_cookie: Service, redis_url: str) -> Service:
    assert redis_url
    return with_cookie


@pytest.fixture
async def of_user(jobs: jobcast.Jobs) -> str:
    return await jobs.create("anything", user_id="user-1")


@pytest.fixture
async def of_session(jobs: jobcast.Jobs) -> str:
    return await jobs.create("anything", session_id=SESSION)


@pytest.mark.parametrize(
    "who",
    [
        row(bearer(MINE)),
        row({"Authorization": f"bearer   {MINE}"}),
        row(token=MINE),
        row(bearer(BAD), token=MINE),
        row({"Authorization": f"Basic {THEIRS}"}, token=MINE),
        row(bearer(MINE), token=BAD),
        row(bearer(MINE), token=THEIRS),
        row(bearer(MINE) | session("whoever")),
        row(session("whoever"), token=MINE),
        row(bearer(token(None, sub="user-1"))),  # type: ignore[arg-type]
    ],
)
async def test_a_good_token_reaches_its_users_jobs(
    service: Service, of_user: str, who: Row
) -> None:
    assert await answers(service, of_user, who) == GRANTED


@pytest.mark.parametrize(
    "who",
    [
        row(bearer(THEIRS)),
        row(token=THEIRS),
        row(bearer(THEIRS), token=MINE),
        row(bearer(BAD), token=THEIRS),
        row(session("user-1")),
        row(bearer(THEIRS) | session("user-1")),
        row(bearer(token("user-1 "))),
        row(bearer(token("USER-1"))),
        row(bearer(BAD) | session(SESSION)),
    ],
)
async def test_a_users_jobs_are_hidden_from_everyone_else(
    service: Service, of_user: str, who: Row
) -> None:
    assert await answers(service, of_user, who) == HIDDEN


@pytest.mark.parametrize(
    "who",
    [
        row(session(SESSION)),
        row(sessionId=SESSION),
        row(sessionid=SESSION),
        row(sessionId=f"  {SESSION} "),
        row(session(SESSION), sessionId="another"),
        row(sessionId=SESSION, sessionid="another"),
        row(session("null"), sessionId=SESSION),
        row(session("s" * 256), sessionId="", sessionid=SESSION),
        row(bearer(BAD) | session(SESSION)),
        row(session(SESSION), token=BAD),
        row(sessionId=SESSION, token="nope"),
        row(bearer(THEIRS) | session(SESSION)),
        row(bearer(THEIRS), sessionId=SESSION),
    ],
)
async def test_a_session_reaches_its_jobs(service: Service, of_session: str, who: Row) -> None:
    assert await answers(service, of_session, who) == GRANTED


@pytest.mark.parametrize(
    "who",
    [
        row(session("session-2")),
        row(session(SESSION.upper())),
        row(session("session-2"), sessionId=SESSION),
        row(bearer(token(SESSION))),
        row(bearer(MINE)),
    ],
)
async def test_a_sessions_jobs_are_hidden_from_everyone_else(
    service: Service, of_session: str, who: Row
) -> None:
    assert await answers(service, of_session, who) == HIDDEN


@pytest.mark.parametrize(
    "who",
    [
        row(),
        row(session("")),
        row(session("null")),
        row(session("undefined")),
        row(sessionId="   "),
        row(session("s" * 256)),
        row(sessionId="null"),
        row(sessionid="undefined"),
        row(sessionId="s" * 256, sessionid=""),
        row(token=""),
        row({"Authorization": "Bearer"}),
        row({"Authorization": "bearer null"}),
        row({"Authorization": MINE}),
        row({"Authorization": f"Basic {MINE}"}),
        row({"Cookie": f"jwt={MINE}; token={MINE}; Authorization={MINE}"}),
    ],
)
async def test_who_is_nobody_is_told_so_by_every_call(
    service: Service, of_user: str, jobs: jobcast.Jobs, who: Row
) -> None:
    assert await answers(service, of_user, who) == UNAUTHORIZED
    with_both = await jobs.create("anything", user_id="user-1", session_id=SESSION)
    assert await answers(service, with_both, who) == UNAUTHORIZED
    async with service.client(None) as client:
        answer = await call(client, "create", **who)
    assert (answer.status_code, answer.json()) == (401, NOBODY)


def unsigned() -> str:
    return jwt.encode({"userId": "user-1"}, "", "none")


def tampered() -> str:
    header, _, signature = THEIRS.split(".")
    return f"{header}.{MINE.split('.')[1]}.{signature}"


@pytest.mark.parametrize(
    "given",
    [
        BAD,
        token(nbf=int(time.time()) + 3600),
        unsigned(),
        unsigned() + MINE.rpartition(".")[2],
        tampered(),
        jwt.encode({"userId": "user-1"}, SECRET[::-1], "HS256"),
        jwt.encode({"userId": "user-1"}, SECRET * 2, "HS384"),
        token(None),  # type: ignore[arg-type]
        token(""),
        token("u" * 256),
        "nope",
        "null",
        "a.b.c",
    ],
    ids=[
        *("expired", "not yet valid", "unsigned", "unsigned with a signature", "tampered"),
        *("of another secret", "of another algorithm", "of no user", "of an empty user"),
        *("of too long a user", "no token", "null", "three parts"),
    ],
)
async def test_a_bad_token_alone_is_nobody(service: Service, of_user: str, given: str) -> None:
    for who in (row(token=given), row(bearer(given)), row(bearer(given), token=given)):
        assert await answers(service, of_user, who) == UNAUTHORIZED


async def test_a_job_of_both_is_reached_by_either(service: Service, jobs: jobcast.Jobs) -> None:
    for who in (row(bearer(MINE)), row(session(SESSION)), row(bearer(THEIRS) | session(SESSION))):
        job_id = await jobs.create("anything", user_id="user-1", session_id=SESSION)
        assert await answers(service, job_id, who) == GRANTED


async def test_a_number_as_user_is_its_digits(service: Service, jobs: jobcast.Jobs) -> None:
    for number in (row(bearer(token(7))), row(bearer(token(None, sub=7)))):  # type: ignore[arg-type]
        job_id = await jobs.create("anything", user_id="7")
        assert await answers(service, job_id, number) == GRANTED


async def test_the_session_of_a_body_counts_only_where_a_job_is_created(
    service: Service, of_session: str
) -> None:
    async with service.client(None) as client:
        for name in ("cancel", "retry"):
            answer = await call(client, name, of_session, json={"sessionId": SESSION})
            assert answer.status_code == 401
        answer = await call(client, "create", json={"type": "a", "sessionId": SESSION})
        assert answer.status_code == 201


@pytest.mark.parametrize(
    ("headers", "params", "of_body", "owner"),
    [
        ({"x-session-id": "header"}, {"sessionId": "query"}, "body", "body"),
        ({"x-session-id": "header"}, {"sessionId": "query"}, None, "header"),
        ({"x-session-id": "header"}, {"sessionId": "query"}, "null", "header"),
        ({"x-session-id": "header"}, {}, "s" * 256, "header"),
        ({"x-session-id": ""}, {"sessionId": "query"}, "", "query"),
        ({}, {"sessionId": "query"}, "body", "body"),
        ({}, {"sessionId": "query", "sessionid": "other"}, None, "query"),
        ({}, {"sessionid": "query"}, "undefined", "query"),
        ({}, {}, " body ", "body"),
    ],
)
async def test_a_new_job_belongs_to_the_session_of_the_body_else_header_else_query(
    service: Service,
    headers: dict[str, str],
    params: dict[str, str],
    of_body: str | None,
    owner: str,
) -> None:
    body = {"type": "anything", "sessionId": of_body}
    async with service.client(None) as client:
        answer = await call(client, "create", headers=headers, params=params, json=body)
        reached = await call(client, "status", answer.json()["jobId"], headers=session(owner))
        for other in {"body", "header", "query", "other"} - {owner}:
            hidden = await call(client, "status", answer.json()["jobId"], headers=session(other))
            assert hidden.status_code == 404
    assert (answer.status_code, reached.status_code) == (201, 200)


# The cookie


def cookie(text: str, **headers: str) -> dict[str, str]:
    return {"Cookie": f"other=1; jwt={text}", **headers}


async def test_a_cookie_is_enough_to_look(cookie_service: Service, of_user: str) -> None:
    looking = {"status": 200, "stream": 200, "list": 200, "cancel": 401, "retry": 401}
    async with cookie_service.client(None) as client:
        for origin in ({}, {"Origin": "https://elsewhere.example"}):
            given = {
                n: await call(client, n, of_user, headers=cookie(MINE, **origin)) for n in looking
            }
            assert {name: answer.status_code for name, answer in given.items()} == looking


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_cookie_changes_things_from_the_same_and_from_allowed_origins(
    cookie_service: Service, jobs: jobcast.Jobs, scheme: str
) -> None:
    own = cookie_service.url.replace("http:", f"{scheme}:")
    for origin in (own, ORIGIN):
        job_id = await jobs.create("anything", user_id="user-1")
        headers = cookie(MINE, Origin=origin)
        assert await answers(cookie_service, job_id, row(headers)) == GRANTED
        async with cookie_service.client(None) as client:
            assert (await call(client, "create", headers=headers)).status_code == 201


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "https://elsewhere.example",
        "http://allowed.example",
        f"{ORIGIN}:444",
        f"{ORIGIN}.elsewhere.example",
        "http://127.0.0.1",
        "http://[",
        "http://",
    ],
)
async def test_a_cookie_changes_nothing_from_elsewhere(
    cookie_service: Service, of_user: str, origin: str | None
) -> None:
    headers = cookie(MINE) if origin is None else cookie(MINE, Origin=origin)
    async with cookie_service.client(None) as client:
        for name in ("cancel", "retry", "create"):
            answer = await call(client, name, of_user, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
        status = await call(client, "status", of_user, headers=bearer(MINE))
    assert status.json()["status"] == "queued"


@pytest.mark.parametrize(
    ("who", "expected"),
    [
        (row(bearer(THEIRS) | cookie(MINE)), HIDDEN),
        (row(bearer(MINE) | cookie(THEIRS)), GRANTED),
        (row(bearer(BAD) | cookie(MINE, Origin=ORIGIN)), GRANTED),
        (row(cookie(MINE, Origin=ORIGIN), token=THEIRS), GRANTED),
        (row(cookie(THEIRS, Origin=ORIGIN), token=MINE), HIDDEN),
        (row(cookie(BAD), token=MINE), GRANTED),
        (row(cookie(BAD)), UNAUTHORIZED),
        (row(cookie("")), UNAUTHORIZED),
        (row({"Cookie": f"jwt2={MINE}; token={MINE}"}), UNAUTHORIZED),
    ],
)
async def test_a_cookie_stands_between_the_header_and_the_query(
    cookie_service: Service, of_user: str, who: Row, expected: dict[str, int]
) -> None:
    assert await answers(cookie_service, of_user, who) == expected


@pytest.mark.parametrize(
    "headers",
    [
        [("Cookie", f"jwt={BAD}; jwt={MINE}")],
        [("Cookie", f'jwt="{BAD}"; other=1; jwt="{MINE}"')],
        [("Cookie", f"jwt={BAD}"), ("Cookie", f"jwt={MINE}; jwt={THEIRS}")],
        [("Authorization", f"Bearer {BAD}"), ("Authorization", f"Bearer {MINE}")],
        [("Authorization", f"Bearer {BAD}"), ("Cookie", f"jwt={BAD}; jwt={MINE}")],
    ],
)
async def test_of_repeated_tokens_the_first_good_one_counts_for_each_call(
    cookie_service: Service, of_user: str, headers: list[tuple[str, str]]
) -> None:
    origin = ("Origin", cookie_service.url)
    assert await answers(cookie_service, of_user, {"headers": [*headers, origin]}) == GRANTED


async def test_repeated_parameters_count_in_turn_for_each_call(
    service: Service, of_user: str, of_session: str
) -> None:
    for job_id, params in (
        (of_user, [("token", BAD), ("token", ""), ("token", MINE), ("token", THEIRS)]),
        (of_session, [("sessionId", "null"), ("sessionId", SESSION), ("sessionId", "another")]),
        (of_session, [("sessionid", ""), ("sessionid", SESSION), ("token", BAD)]),
    ):
        assert await answers(service, job_id, {"params": params}) == GRANTED
    headers = [("x-session-id", "undefined"), ("x-session-id", SESSION), ("x-session-id", "other")]
    job_id = of_session
    async with service.client(None) as client:
        for name in ("status", "stream"):
            assert (await call(client, name, job_id, headers=headers)).status_code == 200


@pytest.mark.parametrize("created_by", ["header", "latin", "query", "body"])
async def test_a_session_of_more_than_ascii_is_the_same_wherever_it_is_named(
    service: Service, created_by: str
) -> None:
    name = "zoë 日本"
    latin, wide = "zoë".encode("latin-1"), "zoë".encode()
    of_header: dict[str, Any] = {"headers": {"x-session-id": name.encode()}}
    of_query: dict[str, Any] = {"params": {"sessionId": name}}
    if created_by == "latin":
        name = "zoë"
        of_header, of_query = {"headers": {"x-session-id": wide}}, {"params": {"sessionid": name}}
    create: dict[str, Any] = {
        "header": of_header,
        "latin": {"headers": {"x-session-id": latin}},
        "query": of_query,
        "body": {"json": {"type": "anything", "sessionId": name}},
    }
    async with service.client(None) as client:
        answer = await call(client, "create", **create[created_by])
    job_id = answer.json()["jobId"]
    for who in (of_header, of_query):
        async with service.client(None) as client:
            for call_name in ("status", "stream"):
                assert (await call(client, call_name, job_id, **who)).status_code == 200
            listed = await call(client, "list", **who)
            assert [job["jobId"] for job in listed.json()["jobs"]] == [job_id]


async def test_a_request_from_elsewhere_is_who_it_is_without_the_cookie(
    cookie_service: Service, of_user: str, of_session: str
) -> None:
    headers = cookie(MINE, Origin="https://elsewhere.example")
    async with cookie_service.client(None) as client:
        for job_id, more, status in (
            (of_user, row(headers | session(SESSION)), 404),
            (of_session, row(headers | session(SESSION)), 200),
            (of_user, row(headers, token=MINE), 200),
        ):
            assert (await call(client, "cancel", job_id, **more)).status_code == status


def test_every_call_is_tried() -> None:
    assert set(ON_WHAT_IS_THERE) == set(CALLS) - {"create"}
