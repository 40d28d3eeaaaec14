import hashlib
import json
import os

from demo.checksum.hashing import Digest
from demo.checksum.report import Report, shown
from demo.checksum.tree import File, Unreadable


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
        "digestsOmitted": 0,
        "unreadable": ["c"],
        "unreadableFiles": 1,
        "unreadableOmitted": 0,
    }


def test_a_result_of_nothing_is_complete() -> None:
    result = Report("sha256").result(0)
    assert (result["files"], result["digests"], result["digestsOmitted"]) == (0, {}, 0)
    assert result["digest"] == hashlib.sha256(b"").hexdigest()


def test_a_large_result_lists_the_first_50_and_says_how_many_more_there_are() -> None:
    report, whole = Report("sha256"), hashlib.sha256()
    paths = [f"{number:05}/ü" for number in range(20_000)]
    for path in paths:
        done = digest(path)
        report.add(done)
        report.add_unreadable(Unreadable(path))
        whole.update(f"{done.digest}  {path}\n".encode())
    result = report.result(1)
    assert (result["files"], result["digestsOmitted"]) == (20_000, 19_950)
    assert (result["unreadableFiles"], result["unreadableOmitted"]) == (20_000, 19_950)
    assert result["digest"] == whole.hexdigest()
    assert list(result["digests"]) == result["unreadable"] == paths[:50]


def test_of_long_paths_fewer_are_listed() -> None:
    report = Report("sha512")
    for number in range(100):
        # Quotes and control characters take more room in JSON than in the path.
        path = f'{number:03}/"\x01' * 500
        report.add(digest(path))
        report.add_unreadable(Unreadable(path))
    result = report.result(1)
    assert 0 < len(result["digests"]) == 100 - result["digestsOmitted"] < 50
    assert 0 < len(result["unreadable"]) == 100 - result["unreadableOmitted"] < 50
    assert len(json.dumps({"result": result}, ensure_ascii=False).encode()) < 80 * 1024


def test_a_long_path_lets_no_later_one_in() -> None:
    report = Report("sha256")
    report.add(digest("a" * 40_000))
    report.add(digest("b"))
    result = report.result(1)
    assert (result["digests"], result["digestsOmitted"]) == ({}, 2)


def test_a_path_that_is_no_utf_8_is_shown_with_escapes_and_hashed_as_it_is() -> None:
    path = os.fsdecode(b"caf\xe9")
    assert shown(path) == r"caf\xe9"
    report = Report("sha256")
    report.add(digest(path))
    result = report.result(0)
    empty = hashlib.sha256(b"").hexdigest()
    assert result["digests"] == {r"caf\xe9": empty}
    assert result["digest"] == hashlib.sha256(empty.encode() + b"  caf\xe9\n").hexdigest()
