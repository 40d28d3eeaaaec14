"""``python -m benchmarks``: run the cases and print what they came to."""

import argparse
import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Sequence
from typing import Final

import uvloop

from benchmarks.case import Case, Result, Sample
from benchmarks.cases.append import APPEND
from benchmarks.cases.burst import BURST
from benchmarks.cases.connect import CONNECT
from benchmarks.cases.delivery import FAN_OUT, ONE_TO_ONE, ONE_TO_ONE_FAST
from benchmarks.cases.forwarding import FORWARDING
from benchmarks.cases.http2 import HTTP2
from benchmarks.cases.idle import IDLE
from benchmarks.cases.load import LOAD_ALONE
from benchmarks.cases.many import MANY
from benchmarks.cases.memory import CHURN, MEMORY
from benchmarks.cases.paused import PAUSED
from benchmarks.cases.pauses import DESCRIPTORS, PAUSES
from benchmarks.cases.progress import PROGRESS
from benchmarks.cases.scale import TWENTY_THOUSAND
from benchmarks.cases.status import STATUS
from benchmarks.processes import LOAD_CORE, pin
from benchmarks.report import heading, load_average, table

_DELIVERY: Final = (FAN_OUT, ONE_TO_ONE, ONE_TO_ONE_FAST)
_STREAMS: Final = (*(MEMORY, CHURN, MANY, CONNECT, TWENTY_THOUSAND, BURST, PAUSED, HTTP2, PAUSES),)
CASES: Final[Sequence[Case]] = (
    *_DELIVERY,
    *_STREAMS,
    *APPEND,
    *PROGRESS,
    FORWARDING,
    STATUS,
    *IDLE,
    LOAD_ALONE,
)

_RUNS: Final = 3
_SECONDS: Final = 15.0
_LONGEST_S: Final = 300.0
"""No single measurement may take longer."""


def main() -> int:
    """Run what was asked for; 1 if a measurement failed or missed its bar."""
    options = _parser().parse_args()
    chosen = [case for case in CASES if _is_wanted(case, options.case)]
    if options.list:
        for case in CASES:
            print(f"{case.name:<16} {case.title}")
        return 0
    if not chosen:
        print(f"there is no case {' '.join(options.case)}", file=sys.stderr)
        return 2
    _raise_limit()
    pin(LOAD_CORE)
    return 0 if uvloop.run(_run(chosen, options.runs, options.seconds)) else 1


async def _run(cases: Sequence[Case], runs: int, seconds: float) -> bool:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    print(heading(runs, seconds))
    good = True
    for case in cases:
        before = load_average()
        results = await _results(case, runs, seconds)
        print(table(case, results), end="")
        print(f"  load average {before} before, {load_average()} after\n", flush=True)
        good = good and not any(r.failure or r.missed for r in results if r.samples)
    return good


async def _results(case: Case, runs: int, seconds: float) -> list[Result]:
    first: list[Sample] = []
    results = [Result(subject, first) for subject in case.subjects]
    results[0].samples = first
    total = runs * case.repeats
    for run in range(total):
        for result in results:
            if result.subject.missing() is None and result.failure is None:
                where = f"{case.name} {run + 1}/{total} {result.subject.name}"
                print(f"{where:<70}", end="\r", file=sys.stderr)
                result.samples.append(await _sample(result, seconds))
    print(" " * 70, end="\r", file=sys.stderr)
    return results


async def _sample(result: Result, seconds: float) -> Sample:
    try:
        async with asyncio.timeout(_LONGEST_S):
            return await result.subject.measure(seconds)
    except (OSError, RuntimeError, TimeoutError) as error:
        return Sample(failure=f"{type(error).__name__} {error}".strip())


def _raise_limit() -> None:
    """Let this process and those that it starts open as many files as they may, or need."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < DESCRIPTORS:
        with contextlib.suppress(OSError, ValueError):  # only root may
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))


def _is_wanted(case: Case, names: Sequence[str]) -> bool:
    return not names or any(case.name == name or case.name.startswith(f"{name}-") for name in names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", help="the cases to run; all if none is named")
    parser.add_argument("--runs", type=int, default=_RUNS, help="how often (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=_SECONDS, help="how long each measures (%(default)g)"
    )
    parser.add_argument("--list", action="store_true", help="list the cases")
    return parser


if __name__ == "__main__":
    sys.exit(main())
