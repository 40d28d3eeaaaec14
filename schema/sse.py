"""Encoding of Server-Sent Events.

Source: HTML Living Standard, §9.2 "Server-sent events". Callers pass single-line data and validated
ids and names, so a CR or LF can't forge a frame.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from schema.entry import Entry
from schema.events import ConnectedData, Departure, LeftData, ManyConnectedData, ResetData
from schema.resume import Reason
from schema.state import JobState

OK: Final = b": ok\n\n"
KEEPALIVE: Final = b": keepalive\n\n"
PING: Final = b"event: ping\ndata: {}\n\n"
"""A keepalive that pages can see. It has no id, so an ``EventSource`` keeps its cursor."""


_decode_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode


class Frame(Struct, frozen=True, gc=False):
    """One event as bytes, encoded once for all viewers.

    Attributes:
        chunk: the event as one chunk of HTTP/1.1's chunked coding (RFC 9112 §7.1).
        size: number of bytes of the event without the chunked coding.
        conflatable: whether a newer conflatable frame supersedes it.
        id: id of its log entry, or None.
        job_id: the job, on a stream of many: only a frame of the same job supersedes it.
    """

    chunk: bytes
    size: int
    conflatable: bool = False
    id: str | None = None
    job_id: str | None = None

    @property
    def data(self) -> bytes:
        """Return the event's bytes. Not cached, as that would double the memory of a mailbox."""
        return self.chunk[-self.size - 2 : -2]


def chunked(data: bytes) -> bytes:
    """Encode bytes as one chunk of HTTP/1.1's chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def raw_frame(data: bytes) -> Frame:
    """Return a frame without an id of bytes that are already encoded, such as a comment."""
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


def encode_greeting(connected: ConnectedData | ManyConnectedData) -> Frame:
    """Encode what each stream begins with: ``: ok`` and ``connected``, as one frame."""
    data = msgspec.json.encode(connected)
    return raw_frame(OK + b"event: connected\ndata: %b\n\n" % data)


def label(frame: Frame, job_id: str) -> Frame:
    """Return a job's frame for a stream of many jobs: ``jobId`` first in its data, without an id.

    A ``jobId`` in the worker's data is left out: of two, ``JSON.parse`` would take the last one.

    Args:
        frame: one or more events.
        job_id: the job's id, normalized as in its keys.
    """
    chunk = frame.chunk
    name = chunk.find(b"event: ")
    brace = chunk.find(b"{", name)
    rest = chunk[brace + 1 : -2]
    if rest[:1] != b'"' or b'"jobId"' in rest or rest.find(b"\n\n") < len(rest) - 2:
        events = (_label(event, job_id.encode()) for event in frame.data.split(b"\n\n") if event)
        data = b"".join(events)
    else:  # the usual case
        data = b'%b"jobId":"%b",%b' % (chunk[name : brace + 1], job_id.encode(), rest)
    size = len(data)
    return Frame(b"%x\r\n%b\r\n" % (size, data), size, frame.conflatable, None, job_id)


def is_end(frame: Frame) -> bool:
    """Return whether a frame ends its job's attempt.

    The data of an event never matches, because it is one line that ends with a brace.
    """
    return b"event: complete\n" in frame.chunk or b"event: failed\n" in frame.chunk


def label_end(frame: Frame, job_id: str) -> Frame:
    """Label the end of a job and add its ``left``, as one frame.

    A mailbox accepts a single frame of any size, but not a second one beside it.
    """
    data = label(frame, job_id).data + encode_left(job_id, "ended").data
    return Frame(chunked(data), len(data), job_id=job_id)


def _label(event: bytes, job_id: bytes) -> bytes:
    head, _, data = event.partition(b"\ndata: ")
    name = head[head.rfind(b"event: ") :]
    if b'"jobId"' in data:
        try:
            fields = _decode_fields(data)
        except RecursionError:  # the limit counts the callers too; earlier there were fewer
            rest = data.rstrip().removesuffix(b"}")
            return b'%b\ndata: %b,"jobId":"%b"}\n\n' % (name, rest, job_id)  # the last one counts
        fields.pop("jobId", None)
        data = msgspec.json.encode(fields)
    rest = data[data.index(b"{") + 1 :]
    comma = b"" if rest.lstrip().startswith(b"}") else b","
    return b'%b\ndata: {"jobId":"%b"%b%b\n\n' % (name, job_id, comma, rest)


def encode_left(job_id: str, reason: Departure) -> Frame:
    """Encode ``left``; the job's id may be malformed."""
    return encode("left", msgspec.json.encode(LeftData(job_id, reason)))


def encode_snapshot(state: JobState) -> Frame:
    """Encode the current state as one event of the contract."""
    return encode(*state.snapshot(), state.last)


def encode_reset(state: JobState, reason: Reason) -> Frame:
    """Encode ``reset`` and the snapshot as one frame, which neither interleaves nor conflates."""
    reset = msgspec.json.encode(ResetData(state.attempt, reason.value))
    data = encode("reset", reset).data + encode_snapshot(state).data
    return Frame(chunked(data), len(data), id=state.last)


def retry(milliseconds: int) -> bytes:
    """Encode ``retry:``, the delay before an EventSource reconnects."""
    return b"retry: %d\n\n" % milliseconds
