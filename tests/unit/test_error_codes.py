"""Every code of an error is one of the contract's, and each of these can occur."""

from collections.abc import Iterator

from app import errors
from app.errors import ApiError, answer_for
from schema.http import ERROR_CODES


def kinds_of(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from kinds_of(narrower)


def test_the_codes_of_errors_are_those_of_the_contract() -> None:
    kinds: list[type[Exception]] = [*kinds_of(ApiError), *errors._OF_LOG]
    codes = {answer_for(kind).code for kind in kinds}
    assert codes | {code for *_, code in errors._OF_HTTP.values()} == set(ERROR_CODES)
