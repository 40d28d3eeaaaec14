"""How a published event is spelled: for the append script, ``PUBLISH``, nchan, and the floor.

An event's ``currentStep`` ends in ``@`` and the monotonic clock in nanoseconds at which it was
sent; that clock is the same in all processes of a machine. So the event has the fields of the
contract and no others, as most have. A template is made once for each job, with places as wide as
what ``workers.c`` fills in.
"""

from typing import Final, Literal, Protocol

from jobcast.protocol.names import PLAIN, log_key, state_key

RUN: Final = "benchmark"

_STAMP: Final = "\x01" * 19
_PROGRESS: Final = "\x02" * 2
_PREVIOUS: Final = "\x03" * 8
_NEXT: Final = "\x04" * 8

_STEP: Final = f"Writing the blog post @{_STAMP}"
_REST: Final = f',"currentStep":"{_STEP}","estimatedTimeRemaining":30}}'
_DATA: Final = f'{{"progress":{_PROGRESS}{_REST}'

Answers = Literal["resp", "http", "none"]
"""What comes back for an event."""


class Wire(Protocol):
    """One way to publish.

    Attributes:
        answers: what comes back.
    """

    @property
    def answers(self) -> Answers: ...  # noqa: D102 - see the class

    def template(self, job_id: str) -> bytes:
        """Return the bytes that publish an event of a job, with places to fill in."""


def resp(*parts: str) -> bytes:
    """Return a command as Redis reads it."""
    texts = [part.encode() for part in parts]
    body = b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)
    return b"*%d\r\n" % len(texts) + body


def _publication(entry: str, previous: str) -> str:
    ids = f'"id":"{entry}","prev":"{previous}"'
    return f'{{{ids},"event":"progress-update","data":{_DATA}}}'


_UNCHAINED: Final = _publication("1732382400000-1", "1732382400000-0")


class AppendScript:
    """``EVALSHA`` of the append script, as the worker library sends it.

    Args:
        sha: digest of the script, which Redis has loaded.
    """

    answers: Answers = "resp"

    def __init__(self, sha: str) -> None:
        self._sha = sha

    def template(self, job_id: str) -> bytes:
        """Return the bytes that append an event of a job, with places to fill in."""
        keys = (log_key(job_id), state_key(job_id))
        event = ("progress", "1", RUN, "", _REST, _PROGRESS)
        fields = ("2", "currentStep", _STEP, "estimatedTimeRemaining", "30", "extra")
        return resp("EVALSHA", self._sha, "2", *keys, "PUBLISH", *event, *fields)


class RawPublish:
    """``PUBLISH`` of what the append script would have published."""

    answers: Answers = "resp"

    def template(self, job_id: str) -> bytes:
        """Return the bytes that publish an event of a job, with places to fill in."""
        return resp("PUBLISH", PLAIN.channel(job_id), _UNCHAINED)


class AddAndPublish:
    """``XADD`` to a log and ``PUBLISH``, and nothing checked: the least that keeps an event."""

    answers: Answers = "resp"

    def template(self, job_id: str) -> bytes:
        """Return the bytes that add and publish an event of a job, with places to fill in."""
        entry = ("MAXLEN", "~", "1000", "*", "event", "progress-update", "data", _DATA)
        return resp("XADD", log_key(job_id), *entry) + resp(
            "PUBLISH", PLAIN.channel(job_id), _UNCHAINED
        )


class ChainedPublish:
    """``PUBLISH`` of events that follow each other and are in no log.

    To a service they look like those of the append script, while Redis has far less to do: at a
    high rate there is room on its core for the load beside it. The ids are of a time to come.
    """

    answers: Answers = "resp"

    _ID: Final = "9999999999999-"

    @classmethod
    def first(cls, last: str) -> str:
        """Return the publication that follows the last entry of a log."""
        data = '{"progress":0,"currentStep":null,"estimatedTimeRemaining":null}'
        ids = f'"id":"{cls._ID}00000000","prev":"{last}"'
        return f'{{{ids},"event":"progress-update","data":{data}}}'

    def template(self, job_id: str) -> bytes:
        """Return the bytes that publish an event of a job, with places to fill in."""
        said = _publication(f"{self._ID}{_NEXT}", f"{self._ID}{_PREVIOUS}")
        return resp("PUBLISH", PLAIN.channel(job_id), said)


class NchanPost:
    """A POST of the event's data over a connection that is kept alive."""

    answers: Answers = "http"

    def template(self, job_id: str) -> bytes:
        """Return the bytes that publish an event of a job, with places to fill in."""
        head = (
            f"POST /publish/{job_id} HTTP/1.1\r\nHost: bench\r\nAccept: text/json\r\n"
            f"X-EventSource-Event: progress-update\r\nContent-Length: {len(_DATA)}\r\n\r\n"
        )
        return (head + _DATA).encode()


class FloorLine:
    """A line for the floor, which answers nothing."""

    answers: Answers = "none"

    def template(self, job_id: str) -> bytes:
        """Return the bytes that publish an event of a job, with places to fill in."""
        return f"{job_id.removeprefix('job-')} {_DATA}\n".encode()
