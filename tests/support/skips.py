"""A pytest plugin that lists the reasons for skipped tests at the end of a run.

In CI a skipped test fails. ``conftest.py`` loads the plugin; with pytest-xdist, reports come from
its worker processes.
"""

import os
from collections import Counter
from collections.abc import Generator
from typing import Final, TypeVar

import pytest

_PREFIX: Final = "Skipped: "

Report = pytest.TestReport | pytest.CollectReport
AnyReport = TypeVar("AnyReport", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _judged((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _judged((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = Counter(map(reason_of, terminalreporter.stats.get("skipped", [])))
    if skipped:
        terminalreporter.section("what was skipped", sep="-")
    for reason, count in sorted(skipped.items()):
        terminalreporter.write_line(f"{count} skipped: {reason}")


def reason_of(report: Report) -> str:
    """Return the reason why a test, or a whole module, was skipped."""
    where = report.longrepr
    text = where[2] if isinstance(where, tuple) else str(where)
    return text.removeprefix(_PREFIX)


def _judged(report: AnyReport) -> AnyReport:
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = reason_of(report)
        report.outcome = "failed"
        report.longrepr = f"skipped, which nothing may be in CI: {reason}"
    return report
