"""What a fault was to each viewer, in numbers."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from schema.entry_id import position
from tests.faults.event_source import Page
from tests.faults.workload import Work

_LAST = 1
"""The request that is answered with 204 after the end."""


@dataclass(frozen=True)
class Recovery:
    """How one viewer came over a fault.

    Attributes:
        whole_s: from the end of the fault to when it had all events again; None if there was no
            event after it.
        silent_s: its longest time without an event, from just before the fault on.
        reconnects: how often its EventSource came again meanwhile.
        pages: how many new EventSources it needed.
    """

    whole_s: float | None
    silent_s: float
    reconnects: int
    pages: int


def recoveries(
    pages: Iterable[Page], works: Sequence[Work], struck: float, healed: float
) -> list[Recovery]:
    """Return how viewers of single attempts came over a fault of these times."""
    work_of = {work.job_id: work for work in works if work.plan.attempts == 1}
    return [
        _recovery(page, work_of[page.history.job_id], struck, healed)
        for page in pages
        if not page.history.gone and page.history.job_id in work_of
    ]


def _recovery(page: Page, work: Work, struck: float, healed: float) -> Recovery:
    shown = [each for source in page.history.sources for each in source.shown]
    later = [entry_id for entry_id, asked in work.confirmed.items() if asked > healed]
    whole_s = None
    if later:
        first = min(position(entry_id) for entry_id in later)
        seen = [each.at for each in shown if position(each.id) >= first and each.at > healed]
        whole_s = min(seen) - healed if seen else None
    times = [each.at for each in shown if each.at > struck - 0.5]
    visits = [visit for source in page.history.sources for visit in source.visits]
    return Recovery(
        whole_s,
        max((other - one for one, other in pairwise(times)), default=0.0),
        sum(visit.at > struck for visit in visits) - _LAST,
        len(page.history.sources),
    )
