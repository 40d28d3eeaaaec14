"""What a worker token allows."""

import time
from typing import Any

import jwt
import pytest

from app.auth import Authenticator, Grant
from app.errors import Unauthorized
from app.settings import settings_from
from tests.support.asking import asks
from tests.support.http_worker import worker_token
from tests.support.service import SECRET, token

UPPER = "7C9E6679-7425-40DE-944B-E07FC1F90AE7"


def authenticator(**variables: str) -> Authenticator:
    return Authenticator(settings_from({"JWT_SECRET": SECRET, **variables}))


async def grant_of(given: str, **variables: str) -> Grant | None:
    claims = await authenticator(**variables).bearer(asks([("Authorization", f"Bearer {given}")]))
    return None if claims is None else claims.grant


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "jobs:publish"},
        {"scope": "openid jobs:publish email"},
        {"scope": ["openid", "jobs:publish"]},
        {"scope": None, "scp": "jobs:publish"},
        {"scope": None, "scp": ["jobs:publish"]},
        {"scope": "openid", "scp": ["jobs:publish"]},
        {"scope": 5, "scp": ["jobs:publish", 5, None]},
    ],
)
async def test_the_scope_is_read_in_each_form_that_issuers_use(claims: dict[str, Any]) -> None:
    assert await grant_of(worker_token(**claims)) == Grant()


@pytest.mark.parametrize(
    "claims",
    [
        *({"scope": scope} for scope in ("", "jobs", "jobs:publisher", "Jobs:publish", None, 5)),
        *({"scope": scope} for scope in ("jobs:publish,x", ["x jobs:publish"], [["jobs:publish"]])),
        *({"scope": scope} for scope in ({"jobs:publish": True}, True, "jobs:\tpublish")),
        {"scopes": "jobs:publish", "scope": None},
        {"roles": ["jobs:publish"], "scope": None},
    ],
)
async def test_no_other_scope_makes_a_worker(claims: dict[str, Any]) -> None:
    given = token(**{"user": "user-1", **claims})
    assert await grant_of(given) is None
    identity = await authenticator().identify(asks([("Authorization", f"Bearer {given}")]))
    assert identity.owner.user_id == "user-1"
    assert await grant_of(worker_token(**claims)) is None


async def test_a_token_may_be_restricted_to_types_and_ids() -> None:
    grant = await grant_of(worker_token(jobType="report", jobId=["a", UPPER]))
    assert grant == Grant(frozenset({"report"}), frozenset({"a", UPPER.lower()}))
    assert grant.covers_type("report")
    assert not grant.covers_type("Report")
    assert grant.covers_id("a")
    assert not grant.covers_id("b")
    assert Grant().covers_id("b")
    assert Grant().covers_type("b")


@pytest.mark.parametrize("name", ["jobType", "jobId"])
@pytest.mark.parametrize("value", [None, "", [], [None], 5, True, {}, ["a", 5], "x" * 129, [["a"]]])
async def test_a_restriction_that_cant_be_read_makes_the_token_invalid(
    name: str, value: object
) -> None:
    # By PyJWT itself, as `token` leaves a claim of None out.
    claims = {"sub": "x", "scope": "jobs:publish", name: value}
    given = jwt.encode(claims, SECRET, "HS256")
    assert await grant_of(given) is None
    with pytest.raises(Unauthorized):
        await authenticator().identify(asks([("Authorization", f"Bearer {given}")]))


@pytest.mark.parametrize("claims", [{}, {"user": "user-1"}, {"sub": "worker-7"}, {"sub": 7}])
async def test_a_worker_token_is_nobodys_identity(claims: dict[str, Any]) -> None:
    given = worker_token(**claims)
    assert await grant_of(given) == Grant()
    places: list[Any] = [
        ([("Authorization", f"Bearer {given}")], []),
        ([("Cookie", f"auth={given}")], []),
        ([], [("token", given)]),
    ]
    for headers, query in places:
        with pytest.raises(Unauthorized):
            await authenticator(JOBCAST_COOKIE_NAME="auth").identify(asks(headers, query))
    session = asks([("Authorization", f"Bearer {given}"), ("x-session-id", "s")])
    identity = await authenticator().identify(session)
    assert (identity.owner.user_id, identity.owner.session_id) == (None, "s")


async def test_only_the_header_makes_a_worker() -> None:
    given = worker_token()
    judge = authenticator(JOBCAST_COOKIE_NAME="auth")
    for asked in (
        asks([], [("token", given)]),
        asks([("Cookie", f"auth={given}")]),
        asks([("Authorization", f"Basic {given}")]),
        asks([("Authorization", given)]),
        asks([("x-session-id", given)]),
    ):
        assert await judge.bearer(asked) is None


async def test_of_several_headers_the_first_that_verifies_counts() -> None:
    bad, user, worker = worker_token(exp=1), token("user-1"), worker_token()
    for given, expected in (
        ((bad, worker, user), Grant()),
        ((bad, user, worker), None),
        ((worker, user), Grant()),
        ((user, worker), None),
    ):
        headers = [("Authorization", f"Bearer {text}") for text in given]
        claims = await authenticator().bearer(asks(headers))
        assert claims is not None
        assert claims.grant == expected


@pytest.mark.parametrize(
    "claims", [{"exp": 1}, {"nbf": time.time() + 3600}, {"exp": "soon"}, {"aud": "others"}]
)
async def test_a_worker_token_is_judged_as_any_other(claims: dict[str, Any]) -> None:
    given = worker_token(**{"aud": "jobs", **claims})
    assert await grant_of(given, JOBCAST_JWT_AUDIENCE="jobs") is None
    good = worker_token(aud="jobs")
    assert await grant_of(good, JOBCAST_JWT_AUDIENCE="jobs") == Grant()
    assert await grant_of(good[:-2], JOBCAST_JWT_AUDIENCE="jobs") is None
    assert await grant_of(good, JWT_SECRET="another secret of the tests, long enough") is None
