"""The table."""

import os
from collections.abc import Sequence
from typing import Final

from benchmarks.case import Case, Result
from benchmarks.processes import LOAD_CORE, SERVER_CORE

_NAME: Final = 26
_FIGURE: Final = 9
_RANGE: Final = 17
_RATIO: Final = 7


def heading(runs: int, seconds: float) -> str:
    """Return what all figures have in common."""
    cores = "one core for all" if SERVER_CORE == LOAD_CORE else "two cores"
    return (
        f"Medians of {runs} runs of {seconds:g} s, each on fresh servers, all of a case in turn.\n"
        f"{cores}: the server on {SERVER_CORE}, load and Redis on {LOAD_CORE} "
        f"(append: Redis on {SERVER_CORE}).\n"
        "ratio: the first row's figure by this row's, run by run. CPU is the whole server's:\n"
        "Jobcast's includes reading Redis, nchan's taking the POSTs, the floor's reading lines.\n"
        "load: what the generator takes of its core; below 33 % it could do three times as much\n"
        "(and above: see the case load). others: what was taken of the server's core by anything\n"
        "else; figures with much of that are not worth much. late: how late an event was sent.\n"
    )


def load_average() -> str:
    """Return how busy the machine is."""
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def table(case: Case, results: Sequence[Result]) -> str:
    """Return the lines of one case."""
    columns = f"{'median':>{_FIGURE}} {'range':^{_RANGE}} {'ratio':>{_RATIO}}"
    lines = [f"{case.name}: {case.title}", f"  {case.unit:<{_NAME}.{_NAME}} {columns}"]
    if len(case.unit) > _NAME:
        lines[0] += f" ({case.unit})"
        lines[1] = f"  {'':{_NAME}} {columns}"
    if case.repeats > 1:
        lines[0] += f", {case.repeats} times a run"
    lines += [f"  {result.subject.name:<{_NAME}} {_row(result)}".rstrip() for result in results]
    return "\n".join(lines) + "\n"


def _row(result: Result) -> str:
    absent = result.subject.missing()
    if absent is not None:
        return absent
    if result.failure is not None:
        return f"FAILED: {result.failure}"
    values = [sample.value for sample in result.samples]
    between = f"{_number(min(values))}-{_number(max(values))}"
    figures = f"{_number(result.median()):>{_FIGURE}} {between:^{_RANGE}}"
    figures += f" {result.ratio():>{_RATIO}.2f}"
    names = dict.fromkeys(name for sample in result.samples for name in sample.more)
    more = [f"{name} {_number(result.median(name))}" for name in names]
    verdicts = result.verdicts()
    if result.is_load_heavy:
        verdicts.append("LOAD ABOVE A THIRD")
    if result.is_disturbed:
        verdicts.append("OTHERS ON THE CORE")
    return "  ".join((figures, ", ".join(more), *(f"[{said}]" for said in verdicts)))


def _number(value: float) -> str:
    if value >= 1000:  # noqa: PLR2004 - from here on a fraction is noise
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"  # noqa: PLR2004 - three figures
