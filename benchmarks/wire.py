"""How a published event is spelled: for the append script, ``PUBLISH``, nchan, and the floor.

An event's ``currentStep`` ends in ``@`` and the monotonic clock in nanoseconds at which its command
was made; that clock is the same in all processes of a machine. So the event has the fields of the
contract and no others, as most have. Progress has two digits and the stamp sixteen, whatever their
value: a command is made once for each job, and only filled in for each event.
"""

import re
from typing import Final, Protocol

import hiredis

from schema.wire import channel, log_key, state_key

RUN: Final = "benchmark"

_STAMP: Final = "@0000000000000000"
_STEP: Final = f"Writing the blog post {_STAMP}"
_PROGRESS: Final = "77"
_REST: Final = f',"currentStep":"{_STEP}","estimatedTimeRemaining":30}}'
_DATA: Final = f'{{"progress":{_PROGRESS}{_REST}'
_PUBLICATION: Final = (
    f'{{"id":"1732382400000-1","prev":"1732382400000-0","event":"progress-update","data":{_DATA}}}'
)
_STATUS: Final = re.compile(rb"HTTP/1\.1 (\d)")
_STATUS_BYTES: Final = 10


class Wire(Protocol):
    """One way to publish."""

    def command(self, job_id: str) -> bytes:
        """Return the bytes that publish one event, to be filled in by ``fill``."""

    def answers(self, data: bytes) -> tuple[int, int]:
        """Count the answers in what came back, and the refusals among them."""


def fill(command: bytes, progress: int, stamp_ns: int) -> bytes:
    """Return a command with its progress (10 to 99) and its stamp."""
    return command % {b"progress": progress, b"stamp": stamp_ns}


def resp(*parts: str | bytes) -> bytes:
    """Return a command as Redis reads it."""
    texts = [part if isinstance(part, bytes) else part.encode() for part in parts]
    body = b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)
    return b"*%d\r\n" % len(texts) + body


def _fillable(command: bytes) -> bytes:
    escaped = command.replace(b"%", b"%%").replace(_STAMP.encode(), b"@%(stamp)016d")
    for before, after in ((b'"progress":', b","), (b"$2\r\n", b"\r\n")):
        marked = before + _PROGRESS.encode() + after
        escaped = escaped.replace(marked, before + b"%(progress)d" + after)
    return escaped


class _Resp:
    def __init__(self) -> None:
        self._parser = hiredis.Reader()

    def answers(self, data: bytes) -> tuple[int, int]:
        """Count the answers in what came back, and the refusals among them."""
        count = refused = 0
        self._parser.feed(data)
        while (answer := self._parser.gets()) is not False:
            count += 1
            refused += isinstance(answer, Exception)
        return count, refused


class AppendScript(_Resp):
    """``EVALSHA`` of the append script, as the worker library sends it.

    Args:
        sha: digest of the script, which Redis has loaded.
    """

    def __init__(self, sha: str) -> None:
        super().__init__()
        self._sha = sha

    def command(self, job_id: str) -> bytes:
        """Return the bytes that append one event, to be filled in by ``fill``."""
        keys = (log_key(job_id), state_key(job_id), channel(job_id))
        event = ("progress", "1", RUN, "", _REST, _PROGRESS)
        fields = ("2", "currentStep", _STEP, "estimatedTimeRemaining", "30", "extra")
        command = ("EVALSHA", self._sha, "3", *keys, "PUBLISH", *event, *fields)
        return _fillable(resp(*command))


class RawPublish(_Resp):
    """``PUBLISH`` of what the append script would have published."""

    def command(self, job_id: str) -> bytes:
        """Return the bytes that publish one event, to be filled in by ``fill``."""
        return _fillable(resp("PUBLISH", channel(job_id), _PUBLICATION))


class NchanPost:
    """A POST of the event's data over a connection that is kept alive."""

    def __init__(self) -> None:
        self._tail = b""

    def command(self, job_id: str) -> bytes:
        """Return the bytes that publish one event, to be filled in by ``fill``."""
        head = (
            f"POST /publish/{job_id} HTTP/1.1\r\nHost: bench\r\nAccept: text/json\r\n"
            f"X-EventSource-Event: progress-update\r\nContent-Length: {len(_DATA)}\r\n\r\n"
        )
        return _fillable((head + _DATA).encode())

    def answers(self, data: bytes) -> tuple[int, int]:
        """Count the answers in what came back, and the refusals among them."""
        text = self._tail + data
        self._tail = text[1 - _STATUS_BYTES :]
        kinds = _STATUS.findall(text)
        return len(kinds), len(kinds) - kinds.count(b"2")


class FloorLine:
    """A line for the floor, which answers nothing."""

    def command(self, job_id: str) -> bytes:
        """Return the bytes that publish one event, to be filled in by ``fill``."""
        return _fillable(f"{job_id.removeprefix('job-')} {_DATA}\n".encode())

    def answers(self, data: bytes) -> tuple[int, int]:  # noqa: ARG002 - as every wire
        """Count nothing: nothing comes back."""
        return 0, 0
