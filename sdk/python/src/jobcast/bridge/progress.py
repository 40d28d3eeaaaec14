"""Progress that is reported by a queue's own calls, as an event."""

from collections.abc import Mapping

from jobcast._count import Count
from jobcast._errors import InvalidEvent
from jobcast.adapters._report import Complain, read
from jobcast.protocol.append import Append


def progress_of(value: object, complain: Complain) -> Append:
    """Return the ``progress-update`` of a value. Raises `InvalidEvent` if it reports nothing.

    A number is the percentage, a text the step; an object has the keys that adapters accept
    (`jobcast.adapters`). ``complain`` is called with what is left out.
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
