from importlib.resources import files

import pytest

COPIES = {"append.lua": "append.lua"}


@pytest.mark.parametrize("name", COPIES)
def test_what_the_service_and_the_sdk_both_carry_is_the_same(name: str) -> None:
    service = files("eventlog").joinpath(name).read_bytes()
    sdk = files("jobcast").joinpath(COPIES[name]).read_bytes()
    assert service == sdk
