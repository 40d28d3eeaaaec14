"""The token of ``jobcast-service dev`` is good for the service with the same settings."""

import pytest

from app.auth.minting import mint
from app.auth.tokens import Tokens
from app.dev.command import USER, token_of
from app.settings import settings_from
from tests.support.keys import PAIRS
from tests.support.service import SECRET

PEM = {"JOBCAST_JWT_PUBLIC_KEY": PAIRS["RS256"].pem}
SETTINGS: list[dict[str, str]] = [
    {},
    {"JOBCAST_JWT_ISSUER": "https://issuer.example", "JOBCAST_JWT_AUDIENCE": "jobs"},
    {"JOBCAST_JWT_AUDIENCE": "jobs", "JOBCAST_NBF_LEEWAY_S": "0", "JOBCAST_EXP_LEEWAY_S": "5"},
    {"JOBCAST_JWT_ALGORITHMS": "HS512"},
    {"JOBCAST_JWT_ALGORITHMS": "RS256 HS384 HS256", **PEM},
]


@pytest.mark.parametrize("given", SETTINGS)
async def test_a_token_is_made_as_the_service_wants_it(given: dict[str, str]) -> None:
    settings = settings_from({"JWT_SECRET": 2 * SECRET, **given})
    claims = await Tokens(settings, None).verify(mint(settings, USER, 60) or "")
    assert claims is not None
    assert claims.user_id == USER
    assert token_of(settings).partition(" ")[0].strip().startswith("eyJ")


@pytest.mark.parametrize("given", [{"JWT_SECRET": SECRET}, {}])
def test_where_none_can_be_made_the_command_says_so(given: dict[str, str]) -> None:
    settings = settings_from({**given, **PEM, "JOBCAST_JWT_ALGORITHMS": "RS256"})
    assert mint(settings, USER, 60) is None
    assert token_of(settings).startswith("none can be made: JOBCAST_JWT_ALGORITHMS ")
