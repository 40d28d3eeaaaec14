"""What the pages tell those to do who write a worker without a library."""

import asyncio
import json
import re
import shutil
import sys
from typing import Any, Final

import pytest

from app.run_events import _WRITERS
from schema.http import MAX_EVENTS
from tests.support.module_process import ROOT
from tests.support.needs import CURL
from tests.support.service import SECRET, Service
from tests.support.sse import watch

PROTOCOL: Final = (ROOT / "docs" / "protocol.md").read_text()
SECTION: Final = PROTOCOL.partition("\n## Workers by HTTP\n")[2].partition("\n## ")[0]
DEPLOYMENT: Final = (ROOT / "docs" / "deployment.md").read_text()
ENTRY_ID: Final = re.compile(r'"[0-9]{13}-[0-9]+"')


def block(text: str, language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


async def run(program: str, **environment: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *("sh", "-euc", program),
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def new_token() -> str:
    """Issue a token as docs/deployment.md says."""
    section = DEPLOYMENT.partition("\n### Worker tokens\n")[2]
    program = block(section, "sh").replace(".venv/bin/python", sys.executable)
    return (await run(program, JWT_SECRET=SECRET)).strip()


@pytest.mark.skipif(not shutil.which("curl"), reason=CURL)
async def test_the_example_does_what_the_page_says(service: Service) -> None:
    example, answers = block(SECTION, "sh"), block(SECTION, "json")
    create, rest = (
        part.strip() for part in re.split(r"\n(?=post /report-7/events)", example, maxsplit=1)
    )
    environment = {"HOST": service.url, "TOKEN": await new_token()}
    shown = await run(create, **environment)
    async with watch(service.url, "report-7", session="tour") as stream:
        await stream.until("progress-update")
        functions = example.partition("\n\n")[0]
        shown += await run(f"{functions}\n{rest}", **environment)
        events = [(event.name, event.data) for event in await stream.rest()]
    assert _without_ids(shown) == _without_ids(answers)
    assert events[1:] == [
        (
            "progress-update",
            {"progress": 40, "currentStep": "Page 5", "estimatedTimeRemaining": None},
        ),
        ("page-done", {"page": 5}),
        ("complete", {"result": {"pages": 12}}),
    ]


def test_the_page_lists_what_the_service_checks() -> None:
    assert f"up to {MAX_EVENTS} events" in SECTION
    for name in _WRITERS:
        assert f"| `{name}` |" in SECTION


def _without_ids(text: str) -> list[Any]:
    return [json.loads(ENTRY_ID.sub('"1-0"', line)) for line in text.splitlines() if line]
