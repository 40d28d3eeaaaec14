import hashlib
import json
import os

from worker.checksum.hashing import Digest
from worker.checksum.report import Report, shown
from worker.checksum.tree import File, Unreadable

MEBIBYTE = 1024 * 1024


def digest(path: str, content: bytes = b"") -> Digest:
    size = len(content)
    return Digest(File(path, size), hashlib.sha256(content).hexdigest(), size)


def test_a_small_result_holds_every_digest() -> None:
    report = Report("sha256")
    report.add(digest("a", b"1"))
    report.add(digest("b/ü", b"23"))
    report.add_unreadable(Unreadable("c"))
    one, two = hashlib.sha256(b"1").hexdigest(), hashlib.sha256(b"23").hexdigest()
    assert report.result(1.23456) == {
        "files": 2,
        "bytes": 3,
        "seconds": 1.235,
        "algorithm": "sha256",
        "digest": hashlib.sha256(f"{one}  a\n{two}  b/ü\n".encode()).hexdigest(),
        "digests": {"a": one, "b/ü": two},
        "unreadable": ["c"],
        "unreadableFiles": 1,
        "truncated": False,
    }


def test_a_result_of_nothing_is_complete() -> None:
    result = Report("sha256").result(0)
    assert (result["files"], result["digests"], result["truncated"]) == (0, {}, False)
    assert result["digest"] == hashlib.sha256(b"").hexdigest()


def test_a_large_result_is_cut_to_fit_one_event_and_says_so() -> None:
    report, whole = Report("sha256"), hashlib.sha256()
    for number in range(20_000):
        # Quotes and control characters take more room in JSON than in the path.
        path = f'{number:05}/"\x01' + "ü" * (number % 50)
        done = digest(path)
        report.add(done)
        report.add_unreadable(Unreadable(path))
        whole.update(f"{done.digest}  {path}\n".encode())
    result = report.result(1)
    assert result["truncated"]
    assert result["files"] == 20_000
    assert result["unreadableFiles"] == 20_000
    assert result["digest"] == whole.hexdigest()
    assert 0 < len(result["digests"]) < 20_000
    assert list(result["digests"]) == sorted(result["digests"])
    assert 0 < len(result["unreadable"]) < 20_000
    assert len(json.dumps({"result": result}, ensure_ascii=False).encode()) < MEBIBYTE


def test_a_list_of_the_unreadable_that_was_cut_says_so() -> None:
    report = Report("sha256")
    for number in range(1000):
        report.add_unreadable(Unreadable(str(number) * 100))
    assert report.result(1)["truncated"]


def test_a_path_that_is_no_utf_8_is_shown_with_escapes_and_hashed_as_it_is() -> None:
    path = os.fsdecode(b"caf\xe9")
    assert shown(path) == r"caf\xe9"
    report = Report("sha256")
    report.add(digest(path))
    result = report.result(0)
    empty = hashlib.sha256(b"").hexdigest()
    assert result["digests"] == {r"caf\xe9": empty}
    assert result["digest"] == hashlib.sha256(empty.encode() + b"  caf\xe9\n").hexdigest()
