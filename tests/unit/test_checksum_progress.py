from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.checksum.hashing import Chunk, Digest, Skipped
from demo.checksum.progress import Pace, Progress
from demo.checksum.tree import File

BIG, SMALL = File("big", 900), File("small", 100)


def test_progress_is_the_share_of_the_bytes() -> None:
    progress = Progress([BIG, SMALL], started=0)
    assert progress.percent == 0
    progress.add(Chunk(BIG, 450))
    assert progress.percent == 45
    progress.add(Chunk(BIG, 450))
    progress.add(Digest(BIG, "00", 900))
    assert (progress.percent, progress.files_done) == (90, 1)
    progress.add(Chunk(SMALL, 100))
    assert progress.percent == 99
    progress.add(Digest(SMALL, "00", 100))
    assert (progress.percent, progress.files_done) == (100, 2)


def test_files_without_bytes_are_counted_instead() -> None:
    empty = File("empty", 0)
    progress = Progress([empty, empty], started=0)
    progress.add(Digest(empty, "00", 0))
    assert progress.percent == 50


def test_a_file_that_is_skipped_leaves_the_total() -> None:
    progress = Progress([BIG, SMALL], started=0)
    progress.add(Skipped(BIG, 0))
    assert progress.bytes_total == 100
    progress.add(Chunk(SMALL, 100))
    progress.add(Digest(SMALL, "00", 100))
    assert (progress.percent, progress.bytes_done, progress.bytes_total) == (100, 100, 100)


def test_a_file_that_grows_does_not_pass_100_percent() -> None:
    progress = Progress([BIG, SMALL], started=0)
    progress.add(Chunk(BIG, 5000))
    assert (progress.percent, progress.bytes_total) == (98, 5100)
    progress.add(Digest(BIG, "00", 5000))
    assert progress.bytes_total == 5100


def test_the_seconds_left_are_measured() -> None:
    progress = Progress([BIG], started=100.0)
    assert progress.seconds_left(100.0) is None
    assert progress.seconds_left(105.0) is None
    progress.add(Chunk(BIG, 225))
    assert progress.seconds_left(100.1) is None
    assert progress.seconds_left(105.0) == pytest.approx(15.0)


sizes = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.booleans()), min_size=1)


@given(sizes)
def test_progress_ends_at_100_whatever_happens_to_the_files(
    files: list[tuple[int, int, bool]],
) -> None:
    found = [File(str(number), expected) for number, (expected, _, _) in enumerate(files)]
    progress = Progress(found, started=0)
    for file, (_, actual, is_readable) in zip(found, files, strict=True):
        if actual:
            progress.add(Chunk(file, actual))
        assert 0 <= progress.percent < 100
        assert 0 <= progress.bytes_done <= progress.bytes_total
        left = progress.seconds_left(5)
        assert left is None or left >= 0
        progress.add(Digest(file, "00", actual) if is_readable else Skipped(file, actual))
    assert progress.percent == 100
    assert progress.bytes_done == progress.bytes_total


def test_a_fast_job_is_reported_at_its_milestones() -> None:
    pace = Pace(now=0)
    due = [percent for percent in range(101) if pace.is_due(percent, now=0.001)]
    assert due == [20, 40, 60, 80, 100]


def test_a_slow_job_is_reported_every_fifth_of_a_second() -> None:
    pace = Pace(now=0)
    due = [now for now in range(0, 2000, 10) if pace.is_due(0, now / 1000)]
    assert all(200 <= later - earlier <= 210 for earlier, later in pairwise([0, *due]))
    assert due[-1] > 1700


@given(st.lists(st.tuples(st.floats(0, 0.3), st.integers(0, 100)), max_size=200))
def test_there_are_never_more_than_ten_reports_in_a_second(
    steps: list[tuple[float, int]],
) -> None:
    now, pace, reports = 0.0, Pace(now=0), []
    for seconds, percent in steps:
        now += seconds
        if pace.is_due(percent, now):
            reports.append(now)
    a_second = 1 - 1e-9
    assert all(
        later - earlier >= a_second
        for earlier, later in zip(reports[:-10], reports[10:], strict=True)
    )
