"""What a job's actor is told. Commands are imperative, facts are in the past tense.

What it is told of its channel is in ``eventlog.channel``.
"""

from msgspec import Struct

from actors.mailbox import Mailbox
from eventlog.catch_up import CatchUp
from schema.resume import Beginning


class Register(Struct, frozen=True):
    """A viewer came, and where its events begin: mostly after a cursor, or with the snapshot."""

    mailbox: Mailbox
    cursor: Beginning = None


class Deregister(Struct, frozen=True):
    """A viewer went."""

    mailbox: Mailbox


class CaughtUp(Struct, frozen=True):
    """What Redis says of the job, asked for from the actor's cursor."""

    answer: CatchUp


class Verify(Struct, frozen=True):
    """It is the actor's turn to make sure that its job is still there."""


class Verified(Struct, frozen=True):
    """What Redis says of the job, asked for to make sure that it is still there."""

    answer: CatchUp


class Resumed(Struct, frozen=True):
    """What Redis says of the job, asked for from a viewer's cursor."""

    mailbox: Mailbox
    answer: CatchUp


class Emptied(Struct, frozen=True):
    """A resuming viewer has taken what it was brought."""

    mailbox: Mailbox


class Forgotten(Struct, frozen=True):
    """No viewer is sent here any more, and those who were sent before have come."""


class Retire(Struct, frozen=True):
    """The job is gone: another one was created under its id, and has an actor of its own."""


class Expire(Struct, frozen=True):
    """Retire if nobody watches still."""
