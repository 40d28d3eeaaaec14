"""The checksum job."""

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any, Final

import jobcast
from demo.checksum.hashing import Chunk, Digest, Skipped, hash_files
from demo.checksum.progress import INTERVAL_S, Pace, Progress
from demo.checksum.report import Report, shown
from demo.checksum.request import Request
from demo.checksum.slices import sliced
from demo.checksum.tree import File, Unreadable, find
from worker.registry import job
from worker.settings import files_root

SLICE_S: Final = 0.1
MAX_ANNOUNCED: Final = 5_000
"""How many files get an event: half of a log's entries, so that late viewers get all of them."""
LOOKING: Final = "Looking for files…"


@job("checksum")
async def checksum(run: jobcast.Run) -> dict[str, Any]:
    """Hash every regular file of a folder below JOBCAST_FILES_ROOT.

    Input: see `Request`. Result: see `Report`. Events: the step ``Looking for files…``, with the
    number of files found as ``current``; progress in bytes, with the current file as the step and
    ``bytesDone``, ``bytesTotal``, ``filesDone`` and ``filesTotal``; and ``file-hashed`` ``{file,
    digest, bytes}`` for each of the first 5,000 files. Symlinks are not followed. Unreadable files
    and folders are listed in the result and do not fail the job.

    Error codes: BAD_INPUT, NO_FILES_ROOT, OUTSIDE_ROOT, FOLDER_NOT_FOUND, NOT_A_FOLDER.
    """
    started = time.monotonic()
    request = Request.from_input(run.input)
    folder = await asyncio.to_thread(lambda: request.below(files_root(os.environ)))
    report = Report(request.algorithm)
    await run.step(LOOKING, 0, indeterminate=True)
    files = await _find(run, folder, report)
    await _hash(run, folder, files, report, request.algorithm)
    return report.result(time.monotonic() - started)


async def _find(run: jobcast.Run, folder: Path, report: Report) -> list[File]:
    """Return the files, sorted by the bytes of their paths."""
    files: list[File] = []
    stopped = threading.Event()

    def walk() -> None:
        for entry in find(folder):
            if stopped.is_set():
                return
            if isinstance(entry, Unreadable):
                report.add_unreadable(entry)
            else:
                files.append(entry)
        files.sort(key=lambda file: os.fsencode(file.path))

    # Report at intervals, not for each file: a folder may be slow, or contain only folders.
    walking = asyncio.create_task(asyncio.to_thread(walk))
    try:
        while not (await asyncio.wait({walking}, timeout=INTERVAL_S))[0]:
            found = len(files)
            await run.progress(0, LOOKING, indeterminate=True, current=found, unit="file")
    finally:
        stopped.set()
    await walking
    return files


async def _hash(
    run: jobcast.Run, folder: Path, files: list[File], report: Report, algorithm: str
) -> None:
    started = time.monotonic()
    pace = Pace(started)
    progress = Progress(files, started)

    def ends_slice(item: Chunk | Digest | Skipped) -> bool:
        return not isinstance(item, Chunk) and progress.files_done < MAX_ANNOUNCED

    async for batch in sliced(hash_files(folder, files, algorithm), SLICE_S, ends_slice):
        for item in batch:
            progress.add(item)
            if isinstance(item, Digest):
                report.add(item)
                if progress.files_done <= MAX_ANNOUNCED:
                    await run.emit("file-hashed", _announced(item))
            elif isinstance(item, Skipped):
                report.add_unreadable(item.unreadable)
        now = time.monotonic()
        if pace.is_due(progress.percent, now):
            await run.progress(
                progress.percent,
                shown(batch[-1].file.path),
                eta=progress.seconds_left(now),
                bytesDone=progress.bytes_done,
                bytesTotal=progress.bytes_total,
                filesDone=progress.files_done,
                filesTotal=progress.files_total,
            )


def _announced(done: Digest) -> dict[str, object]:
    return {"file": shown(done.file.path), "digest": done.digest, "bytes": done.size}
