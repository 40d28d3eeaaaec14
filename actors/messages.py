"""The messages of a job's actor. Commands are imperative, facts are in the past tense.

Those about its channel are in ``eventlog.channel``. A ``CatchUp`` itself answers a read from the
actor's cursor.
"""

from msgspec import Struct

from actors.mailbox import Recipient
from eventlog.catch_up import CatchUp
from schema.resume import Beginning


class Register(Struct, frozen=True):
    """Add a viewer; ``cursor`` says where its events begin."""

    mailbox: Recipient
    cursor: Beginning = None


class Deregister(Struct, frozen=True):
    """Remove a viewer."""

    mailbox: Recipient


class Verify(Struct, frozen=True):
    """Check that the job still exists."""


class Verified(Struct, frozen=True):
    """The job's existence was checked."""

    answer: CatchUp


class Resumed(Struct, frozen=True):
    """The log was read from a resuming viewer's cursor."""

    mailbox: Recipient
    answer: CatchUp


class Emptied(Struct, frozen=True):
    """A resuming viewer's mailbox is empty."""

    mailbox: Recipient


class Forgotten(Struct, frozen=True):
    """The directory no longer routes here; every earlier ``Register`` has been handled."""


class Replaced(Struct, frozen=True):
    """Another job with the same id has an actor of its own."""


class Expire(Struct, frozen=True):
    """Stop if there is still no viewer."""
