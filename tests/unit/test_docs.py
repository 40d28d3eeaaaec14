import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

from tests.support.architecture import Row, functions_of, ways

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FOLDERS = [
    *("schema", "eventlog", "actors", "app", "worker", "demo"),
    *("sdk", "tests", "benchmarks", "deploy", "docs"),
]
SUFFIXES = "py|lua|md|toml|yml|conf|js|css|html|txt"
CODE = [
    path
    for folder in ("schema", "eventlog", "actors", "app", "worker", "demo", "sdk/python/src")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
LOOKS_LIKE_A_FILE = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*|[\w./-]+\.(?:{SUFFIXES})")
EXAMPLES = {"report.py"}
"""What a reader of the README writes."""

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def files() -> Sequence[Path]:
    return [
        path
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if not {"node_modules", ".venv"} & set(path.parts)
    ]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_names_only_files_that_exist(page: Path) -> None:
    paths = [f"/{name_of(path)}" for path in (*files(), *ROOT.iterdir())]
    for name in re.findall(r"`([^`\n]+)`", page.read_text()):
        if LOOKS_LIKE_A_FILE.fullmatch(name) and name not in EXAMPLES:
            assert any(path.endswith(f"/{name.rstrip('/')}") for path in paths), name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_links_only_to_files_that_exist(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        address = link.partition("#")[0]
        if address and "://" not in address:
            assert (page.parent / address).exists(), link


@pytest.mark.parametrize("way", ways())
def test_a_function_on_the_way_is_in_the_file_that_the_page_names(way: Sequence[Row]) -> None:
    for functions, files in way:
        text = "".join(
            path.read_text()
            for path in CODE
            for name in files
            if path.as_posix().endswith(f"/{name}")
        )
        for name in functions:
            assert re.search(rf"(?:def|class) {name.rpartition('.')[2]}\b", text), name


def test_the_ways_can_be_read_aloud() -> None:
    event, end, viewer = (len(functions_of(way)) for way in ways())
    assert event <= 20
    assert end <= 25
    assert viewer <= 30


def test_the_glossary_says_each_word_once() -> None:
    words = [
        word.strip()
        for row in re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY, re.MULTILINE)
        for word in row.split(",")
    ]
    assert len(words) > 1
    assert sorted(words) == sorted(set(words))


def test_what_the_glossary_names_is_in_the_source() -> None:
    source = {
        word
        for path in files()
        if path.suffix in {".py", ".lua", ".js"} and "tests" not in path.parts
        for word in re.findall(r"[\w-]+", path.read_text())
    } | {part for path in files() for part in (path.name, path.stem)}
    for name in re.findall(r"`([^`]+)`", GLOSSARY):
        for word in re.findall(r"[A-Za-z_][\w-]*", name):
            assert word in source, name


CLASSES = {
    *("owner", "key set", "identity", "run", "lease", "worker", "queue", "queue entry"),
    *("stalled runs", "sweeper", "entry", "unreadable job", "viewer", "frame", "reset"),
    *("resumption", "mailbox", "publication", "subscriber connection", "connection"),
    *("directory", "outlet", "stream middleware", "probe"),
}
"""Words of the glossary that name a class."""

FORMER_NAMES = {
    *(
        "Again",
        "Asked",
        "Comings",
        "Inquiry",
        "Line",
        "LoopFuture",
        "Offered",
        "RawConnection",
        "Seen",
    ),
    *("Told", "Watched", "asked", "handoff", "inquiry", "json_line", "lookout", "one_line"),
    *("_offered", "progress_line", "Batches", "Look", "look_key", "look_soon", "job_log"),
}


def names_in(path: Path) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type == tokenize.NAME:
            yield token.string


@pytest.mark.parametrize("word", sorted(CLASSES))
def test_a_word_of_the_glossary_names_its_class(word: str) -> None:
    assert f"| **{word}** |" in GLOSSARY
    name = "".join(part.capitalize() for part in word.split())
    assert any(re.search(rf"^class {name}\b", path.read_text(), re.MULTILINE) for path in CODE)


def test_former_names_do_not_come_back() -> None:
    for path in CODE:
        assert not FORMER_NAMES.intersection(names_in(path)), path
