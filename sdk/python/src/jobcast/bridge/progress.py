"""Progress as a queue's own calls report it, as an event."""

from collections.abc import Mapping

from jobcast._count import Count
from jobcast._errors import InvalidEvent
from jobcast.adapters._report import Complain, read
from jobcast.protocol.append import Append


def progress_of(value: object, complain: Complain) -> Append:
    """Return the ``progress-update`` that a value stands for; `InvalidEvent` if for none.

    A number is the percentage, a text the step; of an object `jobcast.adapters` says which keys
    are understood. ``complain`` is told of what is left out.
    """
    if isinstance(value, str):
        value = {"step": value}
    elif not isinstance(value, Mapping):
        value = {"progress": value}
    report = read(value, complain)
    if report is None:
        raise InvalidEvent("it says nothing of the progress")
    count = Count()
    return report.enter(count) or count.event()
