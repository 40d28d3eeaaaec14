import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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
LOOKS_LIKE_A_FILE = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*|[\w./-]+\.(?:{SUFFIXES})")
EXAMPLES = {"report.py"}
"""What a reader of the README writes."""

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if not {"node_modules", ".venv"} & set(path.parts):
                yield path


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
