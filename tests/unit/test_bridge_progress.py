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
        (40.6, "40", NOTHING),
        (1e9, "100", NOTHING),
        ("Reading", "", {**NOTHING, "currentStep": "Reading"}),
        ({"percent": 40, "step": "a", "eta": 3}, "40", {"currentStep": "a", "eta": 3}),
        ({"percentage": 4, "x": [1]}, "4", {"x": [1]}),
        ({"current": 3, "total": 12}, "25", {"current": 3, "total": 12}),
        ({"current": 3}, "", {"current": 3, "indeterminate": True}),
    ],
)
def test_progress_of_another_library_is_read(value: Any, percent: str, data: Any) -> None:  # noqa: ANN401
    event = progress_of(value, print)
    assert (event.operation, event.number) == ("progress", percent)
    expected = {**NOTHING, **data}
    if "eta" in expected:
        expected["estimatedTimeRemaining"] = expected.pop("eta")
    assert json.loads("{" + event.data.removeprefix(",")) == expected


@pytest.mark.parametrize("value", [None, True, [], -3, float("nan"), {}, {"progress": "half"}])
def test_what_is_no_progress_is_refused(value: object) -> None:
    left_out: list[str] = []
    with pytest.raises(InvalidEvent):
        progress_of(value, left_out.append)
    assert len(left_out) == (value not in (None, {}))
