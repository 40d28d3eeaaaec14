"""Exceptions and values whose own methods fail when they are inspected."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Never, cast

from jobcast import JobCancelled


class OddText(str):
    """A string none of whose methods works."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> Never:
        raise AttributeError(name)

    def __getitem__(self, key: object) -> Never:
        raise KeyError(key)

    def __str__(self) -> Never:
        raise ValueError

    def __len__(self) -> Never:
        raise ValueError

    def __hash__(self) -> Never:
        raise ValueError

    def __eq__(self, other: object) -> Never:
        raise ValueError


class Unprintable(Exception):
    """Raises a given exception when it is converted to a string."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__()
        self._failure = failure

    def __str__(self) -> str:
        raise self._failure

    __repr__ = __str__


class NoText(Exception):
    __str__ = cast("Any", lambda _: None)


class Endless(Exception):
    def __str__(self) -> str:
        return str(self)


class BadArgument(Exception):
    """A usual exception whose argument can't be converted to a string."""

    def __init__(self) -> None:
        super().__init__(Unprintable(AttributeError()))


class TextOfItsOwn(Exception):
    """Its text is of a subclass of ``str``, whose content can be read."""

    def __str__(self) -> str:
        return OddText("No paper")


class OddCode(Exception):
    @property
    def code(self) -> str:
        raise SystemExit("no code")


class CodeOfItsOwn(Exception):
    code = OddText("E_PAPER")


class CodeThatIsNone(Exception):
    """Its code claims to be a ``str``."""

    class _Code:
        __class__ = cast("Any", str)

    code = _Code()


class Impostor(Exception):
    """Claims to be a cancellation, which would end the block quietly."""

    __class__ = cast("Any", JobCancelled)


def _refuse(_: object) -> Never:
    raise ValueError


class WithoutClass(Exception):
    __class__ = cast("Any", property(_refuse))


class _Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise ValueError


class NameOfItsOwn(Unprintable, metaclass=_Nameless):
    def __init__(self) -> None:
        super().__init__(ValueError())


Empty = type("", (Exception,), {})


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Accepts no note, because none of its attributes can be set."""

    message: str

    def __str__(self) -> str:
        return self.message


class Noteless(Exception):
    """Fails when a note is added or read."""

    __notes__ = cast("Any", property(_refuse))

    def add_note(self, note: str) -> None:
        raise SystemExit(note)


class OddGroup(ExceptionGroup[Exception]):
    def __str__(self) -> str:
        raise ValueError


class Foreign(BaseException):
    """Not an ``Exception``, like those of some frameworks."""


class OddMapping(Mapping[str, object]):
    """Has an entry that can't be read."""

    def __init__(self, failure: BaseException) -> None:
        self._failure = failure

    def __getitem__(self, key: str) -> object:
        raise self._failure

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class OddDict(dict[str, object]):
    """Raises an exception when it is encoded as JSON."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__(a=1)
        self._failure = failure

    def items(self) -> Never:
        raise self._failure


class Fickle(list[int]):
    """Has another item each time that it is read."""

    def __init__(self) -> None:
        super().__init__([0])
        self._reads = 0

    def __iter__(self) -> Iterator[int]:
        self._reads += 1
        return iter([self._reads])


UNPRINTABLE: dict[str, BaseException] = {
    "AttributeError": Unprintable(AttributeError("no text")),
    "SystemExit": Unprintable(SystemExit("no text")),
    "KeyboardInterrupt": Unprintable(KeyboardInterrupt()),
    "itself": Unprintable(JobCancelled()),
    "no text": NoText(),
    "recursion": Endless(),
    "its argument": BadArgument(),
    "a metaclass": NameOfItsOwn(),
    "a group": OddGroup("no text", [ValueError(), KeyError()]),
}
"""Exceptions that can't be converted to a string: their class name is used instead."""

ODD: dict[str, tuple[BaseException, str, str | None]] = {
    **{
        key: (error, type.__dict__["__name__"].__get__(type(error)), None)
        for key, error in UNPRINTABLE.items()
    },
    "text of its own class": (TextOfItsOwn(), "No paper", None),
    "odd code": (OddCode("No paper"), "No paper", None),
    "code of its own class": (CodeOfItsOwn("No paper"), "No paper", "E_PAPER"),
    "code that is none": (CodeThatIsNone("No paper"), "No paper", None),
    "impostor": (Impostor("No paper"), "No paper", None),
    "without class": (WithoutClass("No paper"), "No paper", None),
    "no name": (Empty(), "Exception", None),
    "frozen": (Frozen("No paper"), "No paper", None),
    "noteless": (Noteless("No paper"), "No paper", None),
    "a group": (OddGroup("no text", [ValueError(), KeyError()]), "OddGroup", None),
    "no Exception": (Foreign("No paper"), "No paper", None),
    "generator exit": (GeneratorExit("No paper"), "No paper", None),
}
"""Exceptions, each with the error and the error code that viewers get."""
