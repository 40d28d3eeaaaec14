"""Encoding of Server-Sent Events.

Source: HTML Living Standard, §9.2 "Server-sent events". Callers pass single-line data and validated
ids and names, so a CR or LF can't forge a frame.
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
"""A keepalive visible to pages. It has no id, so an ``EventSource`` keeps its cursor."""


class Frame(Struct, frozen=True, gc=False):
    """One event in bytes, encoded once for all viewers.

    Attributes:
        chunk: the event as one chunk of HTTP/1.1's chunked coding (RFC 9112 §7.1).
        size: bytes of the event without the chunked coding.
        conflatable: whether a newer frame of its kind supersedes it.
        id: id of its log entry, or None.
    """

    chunk: bytes
    size: int
    conflatable: bool = False
    id: str | None = None

    @property
    def data(self) -> bytes:
        """Return the event's bytes. Not cached, which would double the memory of a mailbox."""
        return self.chunk[-self.size - 2 : -2]


def chunked(data: bytes) -> bytes:
    """Encode bytes as one chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def raw_frame(data: bytes) -> Frame:
    """Return a frame of encoded bytes without an id, such as a comment."""
    return Frame(chunked(data), len(data))


def encode(name: str, data: bytes, entry_id: str | None = None) -> Frame:
    """Encode an event.

    Args:
        name: a valid event name.
        data: single-line JSON.
        entry_id: id of the log entry, if there is one.
    """
    if entry_id is None:
        event = b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    else:
        event = b"id: %b\nevent: %b\ndata: %b\n\n" % (entry_id.encode(), name.encode(), data)
    size = len(event)
    return Frame(b"%x\r\n%b\r\n" % (size, event), size, name == "progress-update", entry_id)


def encode_entry(entry: Entry) -> Frame:
    """Encode a log entry or a publication."""
    return encode(entry.name, entry.data, entry.id)


def encode_snapshot(state: JobState) -> Frame:
    """Encode the current state as one event of the contract."""
    return encode(*state.snapshot(), state.last)


def encode_reset(state: JobState, reason: Reason) -> Frame:
    """Encode ``reset`` and the snapshot as one frame, which neither interleaves nor conflates."""
    reset = msgspec.json.encode(ResetData(state.attempt, reason.value))
    data = encode("reset", reset).data + encode_snapshot(state).data
    return Frame(chunked(data), len(data), id=state.last)


def retry(milliseconds: int) -> bytes:
    """Encode the delay after which an EventSource reconnects."""
    return b"retry: %d\n\n" % milliseconds
