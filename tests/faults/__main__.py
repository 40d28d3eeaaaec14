"""``python -m tests.faults``: each fault alone and some mixed, or as many as time allows."""

import argparse
import asyncio
import logging
import random
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from statistics import median

from tests.faults.catalogue import FAULTS
from tests.faults.clock import LIBRARY
from tests.faults.forms import HAS_NODE
from tests.faults.scenario import OF_ALL_FORMS, Outcome, Scenario, play
from tests.support.needs import NODE
from tests.support.npm import installed

_SEED = 1
_MIXED = 8
_AT_ONCE = 4
_BUDGET_S = 200
"""After so long no further mixed scenario is begun: the last ones end within four minutes."""
_LIMIT_S = 420
"""After so long no other one is begun either: a machine that is too busy to play them all has not
shown that the promises are kept, and the exit code says so."""


def main(words: Sequence[str] | None = None) -> int:
    """Play scenarios and return the exit code: 1 if a promise was broken."""
    asked = _parser().parse_args(words)
    is_endless = asked.minutes is not None
    return asyncio.run(_played(_chosen(asked), asked.at_once, inf if is_endless else _LIMIT_S))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="just faults", description=__doc__)
    parser.add_argument("--seed", type=int, help="play this seed alone")
    parser.add_argument("--fault", choices=sorted(FAULTS), help="play this fault alone")
    parser.add_argument(
        "--forms", action="store_true", help="have a job of each form of the worker library"
    )
    parser.add_argument("--minutes", type=float, help="go on with fresh seeds for so long")
    parser.add_argument("--at-once", type=int, default=_AT_ONCE, help="scenarios side by side")
    return parser


def _chosen(asked: argparse.Namespace) -> Iterator[Scenario]:
    seed = _SEED if asked.seed is None else asked.seed
    if asked.forms:
        yield from _of_all_forms(seed, OF_ALL_FORMS if asked.fault is None else [asked.fault])
    elif asked.fault is not None:
        yield Scenario.single(seed, asked.fault)
    elif asked.seed is not None:
        yield Scenario.mixed(asked.seed)
    elif asked.minutes is not None:
        until = time.monotonic() + asked.minutes * 60
        while time.monotonic() < until:
            yield Scenario.mixed(random.SystemRandom().randrange(2**32))
    else:
        until = time.monotonic() + _BUDGET_S
        yield from (Scenario.single(_SEED, name) for name in FAULTS)
        yield from _of_all_forms(_SEED, OF_ALL_FORMS)
        for seed in range(_MIXED):
            if time.monotonic() < until:
                yield Scenario.mixed(seed)
            else:
                print(f"left out  seed {seed}: {_BUDGET_S} s are over")


def _of_all_forms(seed: int, names: Iterable[str]) -> Iterator[Scenario]:
    if HAS_NODE:
        installed()
    else:
        print(f"left out  the workers in Node: {NODE}")
    yield from (Scenario.of_all_forms(seed, name) for name in names)


async def _played(scenarios: Iterator[Scenario], at_once: int, limit_s: float) -> int:
    outcomes: list[Outcome] = []
    too_late: list[Scenario] = []
    begun = time.monotonic()

    async def play_next() -> None:
        for scenario in scenarios:
            if time.monotonic() - begun > limit_s:
                too_late.append(scenario)
                continue
            if scenario.needs_clock and LIBRARY is None:
                print(f"left out  {scenario}: libfaketime is not installed")
                continue
            outcome = await _play(scenario)
            outcomes.append(outcome)
            _say(outcome)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(play_next())
    _table(outcome for outcome in outcomes if outcome.scenario.haste == 1)
    broken = [outcome for outcome in outcomes if outcome.violations]
    for outcome in broken:
        print(f"\nBROKEN: {outcome.scenario}\nReplay: {_command(outcome.scenario)}")
        print(*(f"  {text}" for text in outcome.violations[:20]), sep="\n")
    if too_late:
        print(f"\nNOT PLAYED: this machine needed {limit_s} s for those before. Replay:")
        print(*(f"  {_command(scenario)}" for scenario in too_late), sep="\n")
    print(
        f"\n{len(outcomes)} scenarios, {len(broken)} with a broken promise, "
        f"{len(too_late)} not played, in {time.monotonic() - begun:.0f} s"
    )
    return 1 if broken or too_late or not outcomes else 0


async def _play(scenario: Scenario) -> Outcome:
    begun = time.monotonic()
    try:
        return await play(scenario)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
        trace = "".join(traceback.format_exception(error))
        found = [f"the scenario broke off, {error!r}: nothing is known of its promises", trace]
        return Outcome(scenario, found, [], 0, time.monotonic() - begun)


def _command(scenario: Scenario) -> str:
    seed, *further = scenario.seed.split()
    options = [f" --fault {further[0]}" if further else "", " --forms" if further[1:] else ""]
    return f"just faults --seed {seed}{''.join(options)}"


def _say(outcome: Outcome) -> None:
    word = f"{len(outcome.violations)} BROKEN" if outcome.violations else "kept"
    print(
        f"{word:8} {outcome.seconds:5.1f} s {outcome.events:5} events  {_command(outcome.scenario)}"
        f"  ({outcome.scenario})",
        flush=True,
    )


def _table(outcomes: Iterable[Outcome]) -> None:
    """Print what each fault was to its viewers: seconds, the median and the worst of them."""
    print(f"\n{'fault':30} {'whole again':>13} {'silence':>13} {'reconnects':>10} {'new pages':>9}")
    order = list(FAULTS)
    for outcome in sorted(outcomes, key=lambda o: order.index(o.scenario.blows[0][0].fault.name)):
        found = outcome.recoveries
        whole = [each.whole_s for each in found if each.whole_s is not None]
        name = outcome.scenario.seed.partition(" ")[2]
        print(
            f"{name:30} {_both(whole)} "
            f"{_both([each.silent_s for each in found])} "
            f"{max((each.reconnects for each in found), default=0):10} "
            f"{max((each.pages - 1 for each in found), default=0):9}"
        )


def _both(numbers: Sequence[float]) -> str:
    if not numbers:
        return f"{'-':>13}"
    return f"{median(numbers):6.2f} {max(numbers):6.2f}"


if __name__ == "__main__":
    logging.getLogger("jobcast").setLevel(logging.ERROR)  # outages are what this is about
    sys.exit(main())
