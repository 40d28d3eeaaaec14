"""The log of Jobcast's own processes."""

import io
import logging
import re
from collections.abc import Iterator

import pytest

from jobcast._logging import log_to_stderr

NAME = "jobcast-own"
BELOW = logging.getLogger(f"{NAME}.part")


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    """Return a logger in a process without any configuration."""
    own = logging.getLogger(NAME)
    own.propagate = False
    yield own
    own.handlers.clear()
    own.setLevel(logging.NOTSET)


def test_a_line_has_its_time_level_and_logger_from_info_on(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    logger.handlers.clear()  # pytest's own
    log_to_stderr(NAME)
    log_to_stderr(NAME)
    BELOW.debug("nobody wants to know")
    BELOW.info("begins")
    line = rf"\d{{4}}-\d\d-\d\d [\d:,]+ INFO {NAME}\.part begins\n"
    assert re.fullmatch(line, capsys.readouterr().err)


def test_logging_that_is_configured_is_left_alone(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    own = io.StringIO()
    logger.addHandler(logging.StreamHandler(own))
    logger.setLevel(logging.WARNING)
    log_to_stderr(NAME)
    BELOW.info("too much")
    BELOW.warning("seen")
    assert (own.getvalue(), capsys.readouterr().err) == ("seen\n", "")
