"""That the benchmarks measure what they say: every event is delivered, and none conflated."""

import pytest

from benchmarks.cases.delivery import Shape, deliver
from benchmarks.cases.pauses import watch
from benchmarks.native import compiler_missing
from benchmarks.servers import JOBCAST, JOBCAST_CHAINED, Server
from tests.support.needs import COMPILER

pytestmark = pytest.mark.skipif(compiler_missing() is not None, reason=COMPILER)


@pytest.mark.parametrize(
    ("server", "shape"),
    [
        (JOBCAST, Shape(jobs=1, viewers=100, per_s=20)),
        (JOBCAST, Shape(jobs=50, viewers=1, per_s=200)),
        (JOBCAST_CHAINED, Shape(jobs=50, viewers=1, per_s=1000)),
    ],
    ids=["fan-out", "one to one", "one to one, fast"],
)
async def test_every_event_is_delivered(server: Server, shape: Shape) -> None:
    sample = await deliver(server, shape, seconds=0.5)
    assert sample.failure is None
    assert sample.value > 0


async def test_pauses_are_looked_for_with_all_that_goes_on() -> None:
    sample = await watch(viewers=60, seconds=1)
    assert sample.failure is None
    assert 0 < sample.more["p99.9 ms"] <= sample.value
    assert sample.more["gen 0"] > 0
    assert sample.more["gen 2"] == 0
