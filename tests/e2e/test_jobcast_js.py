"""The browser client as the service gives it to pages that have no npm."""

import re
from urllib.parse import urljoin

import httpx
import pytest

from tests.support.npm import SDK
from tests.support.service import Service
from tests.support.valkey import Valkey

ENTRIES = ["/jobcast.js", "/jobcast-element.js", "/jobcast-many.js"]
ORIGIN = "https://app.example"


async def modules(client: httpx.AsyncClient, entry: str) -> dict[str, httpx.Response]:
    """Return a module and all that it imports, by their addresses."""
    found: dict[str, httpx.Response] = {}
    waiting = [entry]
    while waiting:
        address = waiting.pop()
        if address in found:
            continue
        found[address] = answer = await client.get(address)
        imports = r"^(?:import|export) .*?\"(\.{1,2}/.+?)\";$|import\(\"(\./.+?)\"\)"
        for pair in re.findall(imports, answer.text, re.MULTILINE):
            waiting += [urljoin(address, name) for name in pair if name]
    return found


@pytest.mark.parametrize("entry", ENTRIES)
async def test_an_entry_is_short_lived_and_all_that_it_leads_to_is_for_ever(
    service: Service, entry: str
) -> None:
    async with service.client(None) as client:
        found = await modules(client, entry)
    assert len(found) > 4
    for address, answer in found.items():
        assert answer.status_code == 200, address
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        kept = "max-age=300" if address == entry else "max-age=31536000, immutable"
        assert answer.headers["cache-control"] == f"public, {kept}"


@pytest.mark.parametrize("entry", ENTRIES)
async def test_an_entry_names_all_that_is_loaded_with_it_so_that_it_is_loaded_in_parallel(
    service: Service, entry: str
) -> None:
    async with service.client(None) as client:
        text = (await client.get(entry)).text
        found = await modules(client, entry)
    when_needed = ["/shared.js", "/fetched.js", "/reading.js"]
    if "/options.js" not in text:  # which imports it
        when_needed.append("/token.js")
    later = {name for name in found if name.endswith(tuple(when_needed))}
    assert {urljoin(entry, name) for name in re.findall('"(.+?)"', text)} == {*found} - later - {
        entry
    }


async def test_the_modules_are_those_of_the_npm_package(service: Service) -> None:
    async with service.client(None) as client:
        found = await modules(client, "/jobcast.js")
    names = {address.rpartition("/")[2] for address in found}
    assert {"jobcast.js", "link.js", "state.js", "shared.js", "fetched.js"} <= names
    assert {"reading.js", "token.js"} <= names
    for address, answer in found.items():
        name = address.rpartition("/")[2]
        if "@" in address and name != "index.js":
            assert answer.text == (SDK / "src" / name).read_text()


@pytest.mark.parametrize("entry", ENTRIES)
async def test_a_browser_that_has_it_is_told_so(service: Service, entry: str) -> None:
    async with service.client(None) as client:
        for address, answer in (await modules(client, entry)).items():
            again = await client.get(address, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b""), address
            other = await client.get(address, headers={"If-None-Match": '"other"'})
            assert other.status_code == 200, address


async def test_a_page_of_another_version_gets_what_there_is_and_keeps_none_of_it(
    service: Service,
) -> None:
    async with service.client(None) as client:
        answer = await client.get("/jobcast@0123456789ab/link.js")
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        for name in ("nothing.js", "..%2Fasgi.py", "types.d.ts"):
            assert (await client.get(f"/jobcast@0123456789ab/{name}")).status_code == 404


async def test_a_page_of_a_configured_origin_may_load_it(redis_url: str) -> None:
    with Service(redis_url, JOBCAST_CORS_ORIGINS=ORIGIN) as service:
        async with service.client(None) as client:
            for origin, allowed in ((ORIGIN, ORIGIN), ("https://else.example", None)):
                client.headers["Origin"] = origin
                for address, answer in (await modules(client, "/jobcast.js")).items():
                    given = answer.headers.get("access-control-allow-origin")
                    assert given == allowed, address
                    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("prefix", ["/below", "/jobcast", "/jobcast/jobcast"])
async def test_it_is_found_below_a_prefix(valkey: Valkey, prefix: str) -> None:
    with Service(valkey.url, root_path=prefix) as service:
        async with service.client(None) as client:
            for entry in ENTRIES:
                for root in (prefix, ""):  # a proxy passes it or strips it
                    for address, answer in (await modules(client, root + entry)).items():
                        assert answer.status_code == 200, address
                        assert address.startswith(root)
