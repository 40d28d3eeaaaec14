"""The checksum job, as its viewers see it."""

import asyncio
import hashlib
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from demo.checksum.hashing import CHUNK_BYTES
from demo.checksum.job import checksum
from demo.checksum.tree import File, Unreadable, find
from jobcast import Run
from tests.support.channel import Channel
from tests.support.needs import SHA256SUM
from tests.support.stored import cancel, ending_of

CHANNEL = "jobs:j1:events"
FOREVER_S = 1000.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of the worker's files, still empty."""
    monkeypatch.setenv("JOBCAST_FILES_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def timeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be reported for the time that has passed, however slow the machine is."""
    monkeypatch.setattr("demo.checksum.job.INTERVAL_S", FOREVER_S)
    monkeypatch.setattr("demo.checksum.progress.INTERVAL_S", FOREVER_S)


async def do(jobs: jobcast.Jobs, **job_input: object) -> Run:
    """Create ``j1`` and run it to its end."""
    await jobs.create("checksum", user_id="u1", input=job_input, job_id="j1")
    async with jobs.run("j1") as run:
        run.result = await checksum(run)
    return run


async def seen(jobs: jobcast.Jobs, redis: Redis, **job_input: object) -> list[dict[str, Any]]:
    """Return what the viewers of the job see, from its start to its end."""
    async with Channel(redis, CHANNEL) as channel:
        await do(jobs, **job_input)
        published = await channel.until("complete", "failed")
    return [message for message in published if not message["event"].startswith("_")]


@pytest.mark.usefixtures("timeless")
async def test_a_small_folder_is_visible_step_by_step(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path
) -> None:
    (root / "b").mkdir()
    contents = {"a": b"1" * 30, "b/c": b"", "b/d ü": b"2" * 30, "e": b"3" * 40}
    for path, content in contents.items():
        (root / path).write_bytes(content)
    digests = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    start, looking, *events, complete = await seen(jobs, redis_client, folder=".")
    assert start["event"] == "step-change"
    assert looking["event"] == "step-change"
    assert looking["data"] == {
        "progress": 0,
        "currentStep": "Looking for files…",
        "estimatedTimeRemaining": None,
        "indeterminate": True,
    }
    hashed = [message["data"] for message in events if message["event"] == "file-hashed"]
    assert hashed == [
        {"file": path, "digest": digests[path], "bytes": len(contents[path])} for path in contents
    ]
    reports = [message["data"] for message in events if message["event"] == "progress-update"]
    for report in reports:
        report.pop("estimatedTimeRemaining")  # measured, or null on a machine that is fast enough
    total = {"bytesTotal": 100, "filesTotal": 4}
    assert reports == [
        {"progress": 30, "currentStep": "a", "bytesDone": 30, "filesDone": 1, **total},
        {"progress": 60, "currentStep": "b/d ü", "bytesDone": 60, "filesDone": 3, **total},
        {"progress": 100, "currentStep": "e", "bytesDone": 100, "filesDone": 4, **total},
    ]
    result = complete["data"]["result"]
    assert result.pop("seconds") >= 0
    lines = "".join(f"{digests[path]}  {path}\n" for path in contents)
    assert result == {
        "files": 4,
        "bytes": 100,
        "algorithm": "sha256",
        "digest": hashlib.sha256(lines.encode()).hexdigest(),
        "digests": digests,
        "digestsOmitted": 0,
        "unreadable": [],
        "unreadableFiles": 0,
        "unreadableOmitted": 0,
    }


async def test_the_files_found_so_far_are_told_while_others_are_looked_for(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_bytes(b"1")
    goes_on = threading.Event()

    def slowly(folder: Path) -> Iterator[File | Unreadable]:
        yield from find(folder)
        assert goes_on.wait(20)
        yield Unreadable("b")

    monkeypatch.setattr("demo.checksum.job.find", slowly)
    monkeypatch.setattr("demo.checksum.job.INTERVAL_S", 0.01)
    async with Channel(redis_client, CHANNEL) as channel:
        working = asyncio.create_task(do(jobs, folder="."))
        while True:
            *_, message = await channel.until("progress-update")
            if message["data"]["current"] == 1:
                break
        goes_on.set()
        run = await working
    assert message["data"] == {
        "progress": 0,
        "currentStep": "Looking for files…",
        "estimatedTimeRemaining": None,
        "indeterminate": True,
        "current": 1,
        "unit": "file",
    }
    assert isinstance(run.result, dict)
    assert (run.result["files"], run.result["unreadable"]) == (1, ["b"])


async def test_a_cancel_request_stops_the_search_for_files(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(_: Path) -> Iterator[File]:
        for number in itertools.count():
            yield File(str(number), 1)

    monkeypatch.setattr("demo.checksum.job.find", endless)
    monkeypatch.setattr("demo.checksum.job.INTERVAL_S", 0.01)
    async with Channel(redis_client, CHANNEL) as channel:
        working = asyncio.create_task(do(jobs, folder="."))
        await channel.until("progress-update")
        await cancel(redis_client, "j1")
        await working
    assert await ending_of(redis_client, "j1") == ("failed", None, "Cancelled", None)
    # The default threads end when they have nothing left to do: this returns if the search stopped.
    await asyncio.get_running_loop().shutdown_default_executor()


def printed_by_sha256sum(folder: Path) -> str:
    printed = subprocess.run(  # noqa: S602 - a literal
        "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum",  # noqa: S607
        shell=True,
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return printed.stdout.decode().split()[0]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason=SHA256SUM)
async def test_the_digest_of_a_folder_is_that_of_what_sha256sum_prints(
    jobs: jobcast.Jobs, root: Path
) -> None:
    (root / "photos" / "inner").mkdir(parents=True)
    for path in ("z", "B", "a", "inner/ü", "inner-2", os.fsdecode(b"caf\xe9")):
        (root / "photos" / path).write_text(str(hash(path)))
    run = await do(jobs, folder="photos")
    assert isinstance(run.result, dict)
    assert run.result["digest"] == printed_by_sha256sum(root / "photos")


@pytest.mark.usefixtures("root", "timeless")
async def test_an_empty_folder_succeeds_at_once(jobs: jobcast.Jobs, redis_client: Redis) -> None:
    events = await seen(jobs, redis_client, folder=".")
    assert [message["event"] for message in events] == ["step-change", "step-change", "complete"]
    assert events[-1]["data"]["result"]["files"] == 0


@pytest.mark.usefixtures("timeless")
async def test_files_without_bytes_reach_the_end(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path
) -> None:
    for name in "abcde":
        (root / name).touch()
    events = await seen(jobs, redis_client, folder=".")
    reports = [m["data"]["progress"] for m in events if m["event"] == "progress-update"]
    assert reports == [20, 40, 60, 80, 100]


async def test_another_algorithm_may_be_asked_for(jobs: jobcast.Jobs, root: Path) -> None:
    (root / "a").write_bytes(b"1")
    run = await do(jobs, folder=".", algorithm="blake2b")
    assert isinstance(run.result, dict)
    assert run.result["digests"] == {"a": hashlib.blake2b(b"1").hexdigest()}


async def test_every_file_is_announced_and_the_result_lists_the_first_50(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path
) -> None:
    names = [f"{number:03}" for number in range(250)]
    for name in names:
        (root / name).write_text(name)
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in names}
    events = await seen(jobs, redis_client, folder=".")
    hashed = [m["data"] for m in events if m["event"] == "file-hashed"]
    assert {data["file"]: data["digest"] for data in hashed} == digests
    result = events[-1]["data"]["result"]
    assert result["digests"] == dict(list(digests.items())[:50])
    assert (result["files"], result["digestsOmitted"]) == (250, 200)
    lines = "".join(f"{digest}  {path}\n" for path, digest in digests.items())
    assert result["digest"] == hashlib.sha256(lines.encode()).hexdigest()


async def test_no_more_files_are_announced_than_the_log_keeps(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.checksum.job.MAX_ANNOUNCED", 20)
    for number in range(25):
        (root / f"{number:03}").write_bytes(b"1")
    events = await seen(jobs, redis_client, folder=".")
    announced = [m["data"]["file"] for m in events if m["event"] == "file-hashed"]
    assert announced == [f"{number:03}" for number in range(20)]


@pytest.mark.usefixtures("timeless")
async def test_a_large_file_is_reported_while_it_is_read(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("demo.checksum.job.SLICE_S", 0)
    with (root / "zeros").open("wb") as file:
        file.truncate(10 * CHUNK_BYTES)
    events = await seen(jobs, redis_client, folder=".")
    reports = [m["data"] for m in events if m["event"] == "progress-update"]
    assert {20, 40, 60, 80, 100} <= {report["progress"] for report in reports}
    assert [m["event"] for m in events].index("file-hashed") > len(reports) - 2


async def test_a_cancel_request_stops_the_job_in_the_middle_of_a_file(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path
) -> None:
    with (root / "zeros").open("wb") as file:
        file.truncate(200 * 1024**3)
    await jobs.create("checksum", user_id="u1", input={"folder": "."}, job_id="j1")

    async def work() -> None:
        async with jobs.run("j1") as run:
            await checksum(run)
            pytest.fail("the job went on after it was cancelled")

    async with Channel(redis_client, CHANNEL) as channel:
        working = asyncio.create_task(work())
        await channel.until("progress-update")
        await cancel(redis_client, "j1")
        await working
        *_, before_last, last = await channel.rest()
    assert before_last["data"]["filesDone"] == 0
    assert before_last["data"]["bytesDone"] > 0
    assert last == {**last, "event": "failed", "data": {"error": "Cancelled", "errorCode": None}}


async def test_a_file_that_vanishes_is_listed_and_does_not_fail_the_job(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path
) -> None:
    for name in "abc":
        (root / name).write_bytes(b"1")
    await jobs.create("checksum", user_id="u1", input={"folder": "."}, job_id="j1")
    async with jobs.run("j1") as run:
        emit = run.emit

        async def vanishing(name: str, data: dict[str, object]) -> str:
            (root / "b").unlink(missing_ok=True)
            return await emit(name, data)

        run.emit = vanishing  # type: ignore[method-assign,assignment]
        run.result = result = await checksum(run)
    assert (result["files"], result["unreadable"]) == (2, ["b"])
    assert list(result["digests"]) == ["a", "c"]
    assert (await ending_of(redis_client, "j1"))[0] == "succeeded"


async def test_symlinks_are_not_followed(jobs: jobcast.Jobs, root: Path) -> None:
    (root / "photos").mkdir()
    (root / "secret").write_bytes(b"secret")
    (root / "photos" / "file").write_bytes(b"1")
    (root / "photos" / "link").symlink_to("../secret")
    (root / "photos" / "up").symlink_to("..")
    run = await do(jobs, folder="photos")
    assert isinstance(run.result, dict)
    assert list(run.result["digests"]) == ["file"]


@pytest.mark.parametrize(
    ("job_input", "code"),
    [
        ({"folder": "nothing"}, "FOLDER_NOT_FOUND"),
        ({"folder": ".."}, "OUTSIDE_ROOT"),
        ({"folder": "/"}, "OUTSIDE_ROOT"),
        ({"folder": "file"}, "NOT_A_FOLDER"),
        ({}, "BAD_INPUT"),
        ({"folder": ".", "algorithm": "crc32"}, "BAD_INPUT"),
    ],
)
async def test_what_can_t_be_done_fails_with_a_code(
    jobs: jobcast.Jobs, redis_client: Redis, root: Path, job_input: dict[str, object], code: str
) -> None:
    (root / "file").touch()
    with pytest.raises(Exception, match=r".+"):
        await do(jobs, **job_input)
    status, _, error, its_code = await ending_of(redis_client, "j1")
    assert (status, its_code) == ("failed", code)
    assert error
    assert str(root) not in error


async def test_without_a_root_the_job_fails_with_a_code(
    jobs: jobcast.Jobs, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOBCAST_FILES_ROOT", raising=False)
    with pytest.raises(Exception, match="no folder of files"):
        await do(jobs, folder=".")
    assert (await ending_of(redis_client, "j1"))[3] == "NO_FILES_ROOT"
