"""The payload of a publication on a job's channel."""

import re

import msgspec
from msgspec import Raw, Struct

from jobcast.protocol.names import is_entry_id
from schema.entry import CREATED, Entry, parse_event
from schema.events import InvalidEvent
from schema.salvage import salvage


class Publication(Struct, gc=False):
    """The payload on a job's channel.

    ``id`` is the log entry and ``prev`` the entry before it; a publish-only worker sends neither.
    That a job was created is published too, without ``prev``, for those who follow a job that had
    its id before.
    """

    event: str
    data: Raw
    id: str | None = None
    prev: str | None = None


_decode = msgspec.json.Decoder(Publication).decode
_surrogate = re.compile(rb"\\u[dD][89a-fA-F]").search
_logged = re.compile(rb'"id"[ \t\r\n]*:[ \t\r\n]*"[0-9]').search


def decode_publication(payload: bytes) -> Entry:
    """Read what arrived on a channel; a lone surrogate in it as U+FFFD.

    Args:
        payload: anything.

    Raises:
        InvalidEvent: not JSON, not an object, or not what the contract says.
    """
    try:
        if not payload.isascii():
            payload.decode()  # msgspec does not look into the text that it leaves raw
        publication = _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if _surrogate(payload) is None:
            raise InvalidEvent(str(error)) from None
        publication = _with_lone_surrogates(payload)
    entry_id = publication.id
    if entry_id is not None and not is_entry_id(entry_id):
        raise InvalidEvent(f"{entry_id[:80]!r} is no id of an entry")
    if publication.event == CREATED and entry_id is not None:
        return Entry(entry_id, CREATED, None, b"")
    event, line, extra = parse_event(publication.event, publication.data)
    return Entry(entry_id, publication.event, event, line, extra, {}, publication.prev)


def may_be_logged(payload: bytes) -> bool:
    """Say whether what arrived on a channel, and is no event, seems to name an entry of the log."""
    return _logged(payload) is not None


def _with_lone_surrogates(payload: bytes) -> Publication:
    try:
        return _decode(salvage(payload.decode()))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEvent(str(error)) from None
