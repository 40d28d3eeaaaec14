"""What all faults have in common."""

import random
from abc import ABC, abstractmethod
from typing import ClassVar

from tests.faults.world import Form, World


class Fault(ABC):
    """One thing that goes wrong: it strikes, lasts, and is healed.

    Args:
        world: what it strikes.
        chance: decides what the seed leaves open.
        length_s: how long it lasts.

    Attributes:
        name: what it is called on the command line.
        what: what happens, for people.
        target: what it strikes; two faults of the same target don't happen at once.
        form: how Redis is run for it; None is any.
        seconds: how long it lasts when it is alone.
        mixed_seconds: how long among others; None is as long.
        apart_from: names of faults that it is not mixed with; the class says why.
        loses: whether Redis forgets what it had confirmed.
        note_bytes: how large custom events are to be for it.
        pages: how many viewers each job has.
        settings: of the services.
        needs_clock: whether Redis and the services are to ask a clock that can jump.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    target: ClassVar[str]
    form: ClassVar[Form | None] = None
    seconds: ClassVar[float] = 1.0
    mixed_seconds: ClassVar[float | None] = None
    apart_from: ClassVar[frozenset[str]] = frozenset()
    loses: ClassVar[bool] = False
    note_bytes: ClassVar[int] = 0
    pages: ClassVar[int] = 4
    settings: ClassVar[dict[str, str]] = {}
    needs_clock: ClassVar[bool] = False

    def __init__(self, world: World, chance: random.Random, length_s: float) -> None:
        self.world = world
        self.chance = chance
        self.length_s = length_s

    @abstractmethod
    async def strike(self) -> None:
        """Let it happen."""

    async def heal(self) -> None:  # noqa: B027 - some are over by themselves
        """Let it be over."""
