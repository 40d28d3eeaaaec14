"""Server-Sent Events as bytes.

Source: HTML Living Standard, §9.2 "Server-sent events". Data is one line, ids and names are checked
before they get here, so a CR or LF can't forge a frame.
"""

from typing import Final

import msgspec
from msgspec import Struct

from schema.entry import Entry
from schema.events import ResetData
from schema.resume import Reason
from schema.state import JobState

OK: Final = b": ok\n\n"
KEEPALIVE: Final = b": keepalive\n\n"
PING: Final = b"event: ping\ndata: {}\n\n"
"""A keepalive that a page can see, for one that asked for it. Without an id, as every control frame
is, so an ``EventSource`` keeps the one that it has."""


class Frame(Struct, frozen=True, gc=False):
    """One event as a viewer gets it, encoded once for all viewers.

    Attributes:
        chunk: its bytes as one chunk of HTTP/1.1's chunked coding (RFC 9112 §7.1).
        size: how many bytes it has without that coding.
        conflatable: whether a newer one of its kind makes it superfluous.
        id: id of its log entry, or None.
    """

    chunk: bytes
    size: int
    conflatable: bool = False
    id: str | None = None

    @property
    def data(self) -> bytes:
        """Return the frame's bytes; made anew, or what waits would take twice the memory."""
        return self.chunk[-self.size - 2 : -2]


def chunked(data: bytes) -> bytes:
    """Return bytes as one chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def framed(data: bytes) -> Frame:
    """Return as a frame what is no event of a job."""
    return Frame(chunked(data), len(data))


def encode(name: str, line: bytes, entry_id: str | None = None) -> Frame:
    """Encode an event.

    Args:
        name: of the event, checked.
        line: its data, one line of JSON.
        entry_id: id of its log entry; None for what has no place in the log.
    """
    if entry_id is None:
        data = b"event: %b\ndata: %b\n\n" % (name.encode(), line)
    else:
        data = b"id: %b\nevent: %b\ndata: %b\n\n" % (entry_id.encode(), name.encode(), line)
    size = len(data)
    return Frame(b"%x\r\n%b\r\n" % (size, data), size, name == "progress-update", entry_id)


def encode_entry(entry: Entry) -> Frame:
    """Encode an entry of the log, or a publication."""
    return encode(entry.name, entry.line, entry.id)


def encode_snapshot(state: JobState) -> Frame:
    """Encode the current state as one event of the contract."""
    return encode(*state.snapshot(), state.last)


def encode_reset(state: JobState, reason: Reason) -> Frame:
    """Encode that what a viewer has seen is void, and a state to begin anew with.

    It is one frame, so that nothing comes between the two and no conflation takes one of them away.
    """
    void = msgspec.json.encode(ResetData(state.attempt, reason.value))
    data = encode("reset", void).data + encode_snapshot(state).data
    return Frame(chunked(data), len(data), id=state.last)


def retry(milliseconds: int) -> bytes:
    """Return the block that tells an EventSource how long to wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds
