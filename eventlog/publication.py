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

    ``id`` is the log entry and ``prev`` the entry before it; publish-only workers send neither.
    The creation of a job is published without ``prev``, for actors of an earlier job with its id.
    """

    event: str
    data: Raw
    id: str | None = None
    prev: str | None = None


_decode = msgspec.json.Decoder(Publication).decode
_surrogate = re.compile(rb"\\u[dD][89a-fA-F]").search
_logged = re.compile(rb'"id"[ \t\r\n]*:[ \t\r\n]*"[0-9]').search


def decode_publication(payload: bytes) -> Entry:
    """Decode a payload; lone surrogates become U+FFFD.

    Raises:
        InvalidEvent: it is not a JSON object, or breaks the contract.
    """
    try:
        if not payload.isascii():
            payload.decode()  # msgspec does not validate raw text
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
    event, data, extra = parse_event(publication.event, publication.data)
    return Entry(entry_id, publication.event, event, data, extra, {}, publication.prev)


def may_be_logged(payload: bytes) -> bool:
    """Say whether an invalid payload seems to name a log entry."""
    return _logged(payload) is not None


def _with_lone_surrogates(payload: bytes) -> Publication:
    try:
        return _decode(salvage(payload.decode()))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidEvent(str(error)) from None
