"""That routes are found as Werkzeug finds them, and that nothing is left of the search."""

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.routing import Map, Rule
from werkzeug.routing.exceptions import NoMatch, RequestPath
from werkzeug.routing.matcher import StateMachineMatcher

from app import create_app
from app.route_matcher import RouteMatcher
from app.settings import Settings

RULES = (
    ("/", {"GET"}),
    ("/api/jobs", {"GET", "HEAD"}),
    ("/api/jobs", {"POST"}),
    ("/api/jobs/<text>/status", {"GET"}),
    ("/api/jobs/<text>/<int:number>", {"GET"}),
    ("/api/jobs/latest/<text>", {"GET"}),
    ("/api/strict/<text>/", {"GET"}),
    ("/static/<path:filename>", {"GET"}),
    ("/static/<path:filename>/end/", {"GET"}),
    ("/any", None),
)
PARTS = st.sampled_from(
    ["", "api", "jobs", "a", "17", "status", "latest", "strict", "static", "end", "any", "x.js"]
)


def matchers() -> tuple[Any, Any]:
    """Return Werkzeug's and ours, with the same rules."""
    rule_map = Map(merge_slashes=False)
    theirs, ours = StateMachineMatcher(merge_slashes=False), RouteMatcher()
    rules = [
        Rule(path, endpoint=str(number), methods=methods, strict_slashes="strict" in path)
        for number, (path, methods) in enumerate(RULES)
    ]
    rules.append(Rule("/any", endpoint="socket", websocket=True))
    for rule in rules:
        rule_map.add(rule)
        theirs.add(rule)
        ours.add(rule)
    for matcher in (theirs, ours):
        matcher.update()
    return theirs, ours


THEIRS, OURS = matchers()


def outcome(matcher: Any, *asked: Any) -> object:  # noqa: ANN401 - a matcher's
    try:
        rule, values = matcher.match(*asked)
    except NoMatch as error:
        return set(error.have_match_for), error.websocket_mismatch
    except RequestPath as error:
        return error.path_info
    return rule.endpoint, values


@given(st.lists(PARTS, max_size=7), st.sampled_from(["GET", "HEAD", "POST", "PUT"]), st.booleans())
def test_a_route_is_found_as_werkzeug_finds_it(
    parts: list[str],
    method: str,
    websocket: bool,  # noqa: FBT001 - hypothesis' own way
) -> None:
    asked = ("", "/" + "/".join(parts), method, websocket)
    assert outcome(OURS, *asked) == outcome(THEIRS, *asked)


@pytest.mark.parametrize("path", ["/api/jobs/a/status", "/api/jobs/17/18", "/no/where"])
def test_nothing_of_a_repeated_search_is_left_for_the_collector(path: str) -> None:
    websocket = False
    outcome(OURS, "", path, "GET", websocket)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            outcome(OURS, "", path, "GET", websocket)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_who_changes_what_was_found_changes_no_other_search() -> None:
    for _ in range(2):
        _, values = OURS.match("", "/api/jobs/a/status", "GET", False)  # noqa: FBT003 - Werkzeug's
        assert values.pop("text") == "a"


def test_the_application_finds_its_routes_so() -> None:
    app: Any = create_app(Settings(demo=True))
    assert type(app.url_map._matcher) is RouteMatcher
    assert not app.url_map.merge_slashes  # it would redirect
