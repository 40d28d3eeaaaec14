"""The files of the contract: as the structs say, and valid to those who check such files."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

from app.factory import create_app
from app.settings import settings_from
from schema.contract import BODIES, EVENTS
from tests.contract.files import COMMAND, FOLDER, ROOT, TYPES, files
from tests.support.npm import installed, node

FILES = files()
HERE = ROOT / "tests" / "contract"
PARSE = """
const { Parser } = require("@asyncapi/parser");
new Parser().parse(require("node:fs").readFileSync(process.argv[1], "utf8"))
  .then(({ document, diagnostics }) => {
    const faults = diagnostics.filter(({ severity }) => severity < 2);
    console.log(JSON.stringify(faults, null, 1));
    process.exitCode = document && !faults.length ? 0 : 1;
  });
"""


def document(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_as_the_structs_say(path: Path) -> None:
    assert path.read_text() == FILES[path], f"{COMMAND} makes it anew"


def test_every_address_of_the_interface_is_described() -> None:
    app = create_app(settings_from({"JOBCAST_DEMO": "1"}))
    routes = {re.sub(r"<\w+>", "{jobId}", rule.rule) for rule in app.url_map.iter_rules()}
    described = set(document("openapi.json")["paths"])
    assert {route for route in routes if route.startswith("/api/")} <= described <= routes


def test_openapi_3_1_is_valid() -> None:
    OpenAPIV31SpecValidator(document("openapi.json")).validate()


def test_openapi_3_2_is_valid() -> None:
    OpenAPIV32SpecValidator(document("openapi-3.2.json")).validate()


def test_only_3_2_says_that_a_stream_is_a_sequence() -> None:
    address = "/api/v1/jobs/{jobId}/stream"
    for name, key in {"openapi.json": "schema", "openapi-3.2.json": "itemSchema"}.items():
        answers = document(name)["paths"][address]["get"]["responses"]
        assert list(answers["200"]["content"]["text/event-stream"]) == [key]


def test_the_asyncapi_is_valid() -> None:
    modules = installed(HERE)
    program = PARSE.replace("@asyncapi", f"{modules}/@asyncapi")
    run(node(), "-e", program, FOLDER / "asyncapi.json")


def test_the_types_are_valid_and_fit_a_page_that_uses_each_event() -> None:
    uses = HERE / "uses.ts"
    assert all(f'"{kind.__struct_config__.tag}"' in uses.read_text() for kind in EVENTS)
    assert all(kind.__name__ in uses.read_text() for kind in BODIES)
    options = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext")
    run(installed(HERE) / ".bin" / "tsc", *options, uses, TYPES)
