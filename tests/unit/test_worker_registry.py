import pytest

import demo.checksum
import jobcast
from worker.__main__ import main
from worker.queue_entry import QueueEntry
from worker.registry import Registry, registry


async def report(_: jobcast.Run) -> object:
    return None


def test_a_function_is_known_by_the_type_of_its_jobs() -> None:
    mine = Registry()
    assert mine.job("report")(report) is report
    assert mine.function("report") is report
    assert mine.function("other") is None


def test_a_type_has_one_function() -> None:
    mine = Registry()
    mine.job("report")(report)
    with pytest.raises(ValueError, match="report"):
        mine.job("report")(report)


def test_a_function_is_an_async_def() -> None:
    with pytest.raises(TypeError, match="async def"):
        Registry().job("report")(print)  # type: ignore[type-var]


def test_the_worker_knows_the_checksum_job() -> None:
    assert registry.function("checksum") is demo.checksum.job.checksum


def test_an_entry_is_read_from_the_data_of_the_queue() -> None:
    assert QueueEntry.from_data({"jobId": "j1", "attempt": 2, "more": 1}, 3) == QueueEntry(
        "j1", 2, 3
    )


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "j1",
        {},
        {"jobId": "j1"},
        {"jobId": 1, "attempt": 1},
        {"jobId": "j1", "attempt": "1"},
        {"jobId": "j1", "attempt": True},
    ],
    ids=str,
)
def test_anything_else_is_no_entry(data: object) -> None:
    with pytest.raises(ValueError, match="queue entry"):
        QueueEntry.from_data(data, 1)


@pytest.mark.parametrize(
    ("modules", "reason"), [([], "name the modules"), (["no.such"], "No module named 'no'")]
)
def test_a_worker_without_job_functions_ends_with_the_reason(
    modules: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(modules) == 2
    assert reason in capsys.readouterr().err
