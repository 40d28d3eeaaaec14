"""Remembers which route an address has.

Werkzeug defines a function that calls itself anew for each search, and with it a reference cycle of
ten objects. A page that polls would have the collector at work in the middle of everybody's events.
"""

from functools import lru_cache
from typing import Any, Final

from werkzeug.routing.exceptions import NoMatch, RequestPath
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.routing.rules import Rule

_MOST: Final = 5_000
_LONGEST: Final = 256
"""Characters of a path that is remembered: more than any address of the service has."""

_Found = tuple[Rule, dict[str, Any]] | NoMatch | RequestPath


class RouteMatcher(StateMachineMatcher):
    """Matches where slashes are not merged; its rules are complete before the first search."""

    def __init__(self) -> None:
        super().__init__(merge_slashes=False)
        self._remembered = lru_cache(_MOST)(self._found)

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
        find = self._remembered if len(path) <= _LONGEST else self._found
        found = find(domain, path, method, websocket)
        if isinstance(found, NoMatch):
            raise NoMatch(found.have_match_for, found.websocket_mismatch)
        if isinstance(found, RequestPath):
            raise RequestPath(found.path_info)
        rule, values = found
        return rule, dict(values)

    def _found(self, domain: str, path: str, method: str, websocket: bool) -> _Found:  # noqa: FBT001 - Werkzeug's
        try:
            rule, values = super().match(domain, path, method, websocket)
        except (NoMatch, RequestPath) as error:
            error.__context__ = None  # nor the frames of what led to it
            return error.with_traceback(None)
        return rule, dict(values)
