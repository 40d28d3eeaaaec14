"""A cache of route lookups.

For each lookup Werkzeug defines a recursive function, which leaves a reference cycle of ten
objects. So polling pages would trigger garbage collections, which delay the events of all streams.
"""

from functools import lru_cache
from typing import Any, Final

from werkzeug.routing.exceptions import NoMatch, RequestPath
from werkzeug.routing.matcher import StateMachineMatcher
from werkzeug.routing.rules import Rule

_CACHE_SIZE: Final = 5_000
_MAX_LENGTH: Final = 256
"""Longest cached path, in characters; no route of the service is as long."""

_Result = tuple[Rule, dict[str, Any]] | NoMatch | RequestPath


class RouteMatcher(StateMachineMatcher):
    """A caching matcher that does not merge slashes.

    Its rules must not change after the first lookup.
    """

    def __init__(self) -> None:
        super().__init__(merge_slashes=False)
        self._cached = lru_cache(_CACHE_SIZE)(self._search)

    def match(
        self,
        domain: str,
        path: str,
        method: str,
        websocket: bool,  # noqa: FBT001 - Werkzeug's
    ) -> tuple[Rule, dict[str, Any]]:
        """Return the rule for a request, and the values of its variables.

        Raises:
            NoMatch: there is no rule; the error lists the methods allowed for this path.
            RequestPath: there is a rule for the path with a trailing slash.
        """
        search = self._cached if len(path) <= _MAX_LENGTH else self._search
        result = search(domain, path, method, websocket)
        if isinstance(result, NoMatch):
            raise NoMatch(result.have_match_for, result.websocket_mismatch)
        if isinstance(result, RequestPath):
            raise RequestPath(result.path_info)
        rule, values = result
        return rule, dict(values)

    def _search(self, domain: str, path: str, method: str, websocket: bool) -> _Result:  # noqa: FBT001 - Werkzeug's
        try:
            rule, values = super().match(domain, path, method, websocket)
        except (NoMatch, RequestPath) as error:
            error.__context__ = None  # its traceback would keep frames alive
            return error.with_traceback(None)
        return rule, dict(values)
