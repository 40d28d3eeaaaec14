"""What a job's actor is told. Commands are imperative, facts are in the past tense."""

from msgspec import Struct

from actors.mailbox import Mailbox
from eventlog.catch_up import CatchUp


class Register(Struct, frozen=True):
    """A viewer came; ``cursor`` is the last id that it has seen, or None."""

    mailbox: Mailbox
    cursor: str | None = None


class Deregister(Struct, frozen=True):
    """A viewer went."""

    mailbox: Mailbox


class Published(Struct, frozen=True, gc=False):
    """Payloads arrived on the job's channel, in one read: mostly one."""

    payloads: list[bytes]


class Subscribed(Struct, frozen=True):
    """What is published from here on will arrive; what was before may have been missed."""


class CaughtUp(Struct, frozen=True):
    """What Redis says of the job, asked for from the actor's cursor."""

    answer: CatchUp


class Resumed(Struct, frozen=True):
    """What Redis says of the job, asked for from a viewer's cursor."""

    mailbox: Mailbox
    cursor: str
    answer: CatchUp


class Forgotten(Struct, frozen=True):
    """No viewer is sent here any more, and those who were sent before have come."""


class Expire(Struct, frozen=True):
    """Retire if nobody watches still."""
