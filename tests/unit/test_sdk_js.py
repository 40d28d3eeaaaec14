"""The npm package by itself: its own tests, its types, its size and what is in it."""

import filecmp
import gzip
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from jobcast.protocol.append import SCRIPT
from jobcast.protocol.leases import ENTER
from jobcast.protocol.names import ADD_LUA
from tests.support.npm import SDK, installed, node, packed

SOURCE = SDK / "src"
CORE_BYTES = 5 * 1024
PACKAGE: dict[str, Any] = json.loads((SDK / "package.json").read_text())


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=SDK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def imported(path: Path) -> set[Path]:
    """Return a module and all that a browser loads with it: not what it may load later."""
    found = {path}
    for name in re.findall(r'^(?:import|export) .*?"(\./.+?)";$', path.read_text(), re.MULTILINE):
        found |= imported(path.parent / name)
    return found


def declarations(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.d.ts")}


@pytest.mark.parametrize("file", sorted(SDK.glob("test/*.test.js")), ids=lambda path: path.stem)
def test_the_clients_own_tests_pass(file: Path) -> None:
    installed()
    run(node(), "--test", file)


def test_its_types_hold_and_are_those_that_are_committed(tmp_path: Path) -> None:
    tsc = installed() / ".bin" / "tsc"
    run(tsc, "--outDir", tmp_path)
    run(tsc, "-p", "worker", "--outDir", tmp_path / "worker")
    made, committed = declarations(tmp_path), declarations(SDK / "types")
    assert made == committed, "run `npm run types` in sdk/js"
    _, differ, odd = filecmp.cmpfiles(tmp_path, SDK / "types", made, shallow=False)
    assert differ + odd == [], "run `npm run types` in sdk/js"


@pytest.mark.parametrize("project", ["test", "test/worker"])
@pytest.mark.parametrize("resolution", [("nodenext", "nodenext"), ("esnext", "bundler")])
def test_a_project_in_typescript_sees_them(project: str, resolution: tuple[str, str]) -> None:
    module, how = resolution
    tsc = installed() / ".bin" / "tsc"
    run(tsc, "-p", project, "--module", module, "--moduleResolution", how)


def test_the_core_is_small_as_it_is_shipped() -> None:
    modules = imported(SOURCE / "jobcast.js")
    sizes = {path.name: len(gzip.compress(path.read_bytes())) for path in modules}
    assert {"jobcast.js", "link.js", "state.js"} == set(sizes)
    assert sum(sizes.values()) <= CORE_BYTES, sizes


def test_what_the_package_exports_is_there() -> None:
    for entry in PACKAGE["exports"].values():
        for target in entry.values():
            assert (SDK / target).is_file(), target


def test_it_depends_on_nothing_and_pins_what_its_tests_need() -> None:
    assert "dependencies" not in PACKAGE
    for name, version in PACKAGE["devDependencies"].items():
        assert re.fullmatch(r"(npm:\w+@)?\d+\.\d+\.\d+", version), name
    assert not (SDK / "package-lock.json").exists()


def test_what_it_exports_is_packed_and_the_worker_has_the_one_append_script(tmp_path: Path) -> None:
    package = packed(tmp_path)
    for entry in PACKAGE["exports"].values():
        for target in entry.values():
            assert (package / target).is_file(), target
    assert (package / "worker" / "append.lua").read_text() == SCRIPT
    assert (tmp_path / "tree" / "js" / "worker" / "append.lua").is_symlink()
    assert (SDK / "worker" / "append.lua").read_text() == SCRIPT


def test_the_worker_enters_its_leases_as_the_python_library_does() -> None:
    names = (SDK / "worker" / "names.js").read_text()
    assert f"const ADD = `{ADD_LUA}`" in names
    assert f"`{ENTER}`" in names.replace("${ADD}", ADD_LUA)


def test_it_has_the_version_of_the_service() -> None:
    project = tomllib.loads((SDK.parents[1] / "pyproject.toml").read_text())["project"]
    assert PACKAGE["version"] == project["version"]
