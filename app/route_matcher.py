"""Finds the route of a request as Werkzeug 3.1 does, and leaves no cyclic garbage.

Werkzeug defines a function that calls itself anew for each request, and with it a reference cycle
of ten objects. A page that polls would have the collector at work in the middle of everybody's
events.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from werkzeug.routing.converters import ValidationError
from werkzeug.routing.exceptions import NoMatch, RequestPath
from werkzeug.routing.matcher import SlashRequired, State, StateMachineMatcher
from werkzeug.routing.rules import Rule

_GROUP: Final = "__werkzeug_"
"""How Werkzeug names the groups of a pattern, before a number."""

_Found = tuple[Rule, list[str]]
_Way = tuple[State, list[str], list[str]]


class RouteMatcher(StateMachineMatcher):
    """Matches where slashes are not merged, and no rule is an alias or redirects to another."""

    def __init__(self) -> None:
        super().__init__(merge_slashes=False)

    def match(
        self,
        domain: str,
        path: str,
        method: str,
        websocket: bool,  # noqa: FBT001 - Werkzeug's
    ) -> tuple[Rule, dict[str, Any]]:
        """Return the rule for a request, and the values of its variables.

        Raises:
            NoMatch: there is none; it names the methods that there are rules for.
            RequestPath: there is one with a slash at the end.
        """
        search = _Search(method, websocket=websocket)
        try:
            found = search.follow(self._root, [domain, *path.split("/")], [])
        except SlashRequired:
            raise RequestPath(f"{path}/") from None
        if found is None:
            raise NoMatch(search.methods, search.is_of_other_kind)
        rule, texts = found
        try:
            pairs = zip(rule._converters.items(), texts, strict=False)  # noqa: SLF001 - as Werkzeug
            values = {name: converter.to_python(text) for (name, converter), text in pairs}
        except ValidationError:
            raise NoMatch(search.methods, search.is_of_other_kind) from None
        return rule, {**values, **(rule.defaults or {})}


class _Search:
    """The way of one request through the states.

    Attributes:
        methods: those of the rules that fit but for the method.
        is_of_other_kind: whether a rule fits but for being of websockets, or not.
    """

    __slots__ = ("_method", "_websocket", "is_of_other_kind", "methods")

    def __init__(self, method: str, *, websocket: bool) -> None:
        self._method = method
        self._websocket = websocket
        self.methods: set[str] = set()
        self.is_of_other_kind = False

    def follow(self, state: State, parts: list[str], values: list[str]) -> _Found | None:
        """Return the first rule that fits, and the texts of its variables.

        Raises:
            SlashRequired: the one that fits ends in a slash, and insists.
        """
        if not parts:
            return self._end(state, values)
        head, *rest = parts
        if head in state.static:
            found = self.follow(state.static[head], rest, values)
            if found is not None:
                return found
        for way in _dynamic_ways(state, parts, values):
            found = self.follow(*way)
            if found is not None:
                return found
        if parts == [""]:
            lenient = (rule for rule in state.rules if not rule.strict_slashes)
            return self._first(lenient, values)
        return None

    def _end(self, state: State, values: list[str]) -> _Found | None:
        found = self._first(state.rules, values)
        if found is None and "" in state.static:
            for rule in state.static[""].rules:
                if rule.websocket == self._websocket and self._is_allowed(rule):
                    if rule.strict_slashes:
                        raise SlashRequired
                    return rule, values
        return found

    def _first(self, rules: Iterable[Rule], values: list[str]) -> _Found | None:
        for rule in rules:
            if not self._is_allowed(rule):
                self.methods.update(rule.methods or ())
            elif rule.websocket != self._websocket:
                self.is_of_other_kind = True
            else:
                return rule, values
        return None

    def _is_allowed(self, rule: Rule) -> bool:
        return rule.methods is None or self._method in rule.methods


def _dynamic_ways(state: State, parts: list[str], values: list[str]) -> Iterator[_Way]:
    for part, following in state.dynamic:
        text, rest = ("/".join(parts), []) if part.final else (parts[0], parts[1:])
        match = re.match(part.content, text)
        if match is None:
            continue
        if part.suffixed and match.groups()[-1] == "/":
            rest = [""]
        groups = match.groupdict()
        numbers = sorted(int(name[len(_GROUP) :]) for name in groups if name.startswith(_GROUP))
        yield following, rest, values + [groups[f"{_GROUP}{number}"] for number in numbers]
