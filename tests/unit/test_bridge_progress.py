import json
from typing import Any

import pytest

from jobcast import InvalidEvent
from jobcast.bridge.progress import progress_of

NOTHING = {"currentStep": None, "estimatedTimeRemaining": None}


@pytest.mark.parametrize(
    ("value", "percent", "data"),
    [
        (40, "40", NOTHING),
        (40.6, "41", NOTHING),
        (-3, "0", NOTHING),
        (1e9, "100", NOTHING),
        ("Reading", "", {**NOTHING, "currentStep": "Reading"}),
        ({"progress": 40}, "40", NOTHING),
        ({"percent": 40, "step": "a", "eta": 3}, "40", {"currentStep": "a", "eta": 3}),
        ({"percentage": 4, "message": "a", "x": [1]}, "4", {"currentStep": "a", "x": [1]}),
        ({"current": 3, "total": 12}, "25", {"current": 3, "total": 12}),
        ({"current": 3, "total": 0}, "", {"current": 3, "total": 0}),
        ({"current": 3}, "", {"current": 3}),
        ({"progress": "half", "currentStep": 4, "estimatedTimeRemaining": "x"}, "", {}),
        ({"progress": True, "eta": -4}, "", {"eta": 0}),
        ({}, "", NOTHING),
    ],
)
def test_progress_of_another_library_is_read(value: Any, percent: str, data: Any) -> None:  # noqa: ANN401
    event = progress_of(value)
    assert (event.operation, event.number) == ("progress", percent)
    expected = {**NOTHING, **data}
    if "eta" in expected:
        expected["estimatedTimeRemaining"] = expected.pop("eta")
    assert json.loads("{" + event.data.removeprefix(",")) == expected


@pytest.mark.parametrize(
    "value", [None, True, [], float("nan"), float("inf"), {"x": float("nan")}, {"x": object()}]
)
def test_what_is_no_progress_is_refused(value: object) -> None:
    with pytest.raises(InvalidEvent):
        progress_of(value)
