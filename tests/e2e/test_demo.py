import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.demo_process import DemoProcess
from tests.support.sse import watch
from tests.support.valkey import free_port

SPARSE_BYTES = 64 * 1024**3


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Return a folder that takes longer to hash than any test runs, and takes no room."""
    folder = tmp_path / "files"
    folder.mkdir()
    with (folder / "zeros.bin").open("wb") as file:
        file.truncate(SPARSE_BYTES)
    return folder


async def test_ctrl_c_ends_the_demo_and_all_it_started_while_a_job_runs_and_is_watched(
    tmp_path: Path, files: Path
) -> None:
    port = str(free_port())
    settings = {"JOBCAST_GRACE_S": "1", "JOBCAST_DEMO_PORT": port}
    with DemoProcess(tmp_path / "data", files, **settings) as demo:
        assert demo.url == f"http://127.0.0.1:{port}"
        async with watch(demo.url, demo.first_job, session=demo.session) as stream:
            events = [await stream.next(), await stream.next()]
            assert [event.name for event in events] == ["connected", "progress-update"]
            assert len(demo.processes) == 4
            assert demo.press_ctrl_c() == 0
            assert demo.processes == []
            await stream.rest()
            assert stream.parser.retries
            assert not stream.cut


async def test_a_second_start_still_has_the_first_ones_jobs(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_bytes(b"a")
    with DemoProcess(tmp_path / "data", tmp_path / "files") as demo:
        first, session = demo.first_job, demo.session
        async with watch(demo.url, first, session=session) as stream:
            result = (await stream.until("complete"))[-1].data["result"]
    with DemoProcess(tmp_path / "data", tmp_path / "files") as demo:
        headers = {"x-session-id": session}
        async with httpx.AsyncClient(base_url=demo.url, headers=headers) as client:
            status = (await client.get(f"/api/v1/jobs/{first}/status")).json()
            listed = (await client.get("/api/v1/jobs")).json()["jobs"]
        # So that the page which is opened next lists the first one's jobs too.
        assert demo.session == session
        assert [job["jobId"] for job in listed] == [demo.first_job, first]
    assert (status["status"], status["result"]) == ("succeeded", result)
    assert result["files"] == 1


def test_the_session_is_kept_where_nobody_else_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with DemoProcess(tmp_path / "data", tmp_path / "files") as demo:
        file = tmp_path / "data" / "session"
        assert file.read_text() == demo.session
        assert file.stat().st_mode & 0o077 == 0
        assert demo.session not in demo.logs


async def test_no_event_of_a_large_folder_fills_the_terminal(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(300):
        (files / f"{number:03}{'-long' * 40}.js").write_bytes(b"1")
    with DemoProcess(tmp_path / "data", files) as demo:
        async with watch(demo.url, demo.first_job, session=demo.session) as stream:
            events = await stream.until("complete")
    result = events[-1].data["result"]
    assert (len(result["digests"]), result["digestsOmitted"]) == (50, 250)
    assert max(len(json.dumps(event.data)) for event in events) < 40 * 1024


def test_a_second_demo_in_the_same_folder_says_that_one_is_running(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with (
        DemoProcess(tmp_path / "data", tmp_path / "files"),
        pytest.raises(RuntimeError, match="A demo is running already"),
        DemoProcess(tmp_path / "data", tmp_path / "files"),
    ):
        pass


def test_demos_that_are_started_at_once_have_a_service_each(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    demos = [DemoProcess(tmp_path / f"data{n}", tmp_path / "files") for n in range(3)]
    with ExitStack() as stack:
        with ThreadPoolExecutor() as threads:
            started = [threads.submit(demo.__enter__) for demo in demos]
        for demo, start in zip(demos, started, strict=True):
            if start.exception() is None:
                stack.push(demo)
        assert [start.exception() for start in started] == [None] * 3
        assert len({demo.url for demo in demos}) == 3
