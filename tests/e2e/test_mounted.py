"""The service below a prefix: by itself, and behind an nginx that strips it or does not."""

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
from playwright.async_api import Page, Response, expect

import jobcast
from tests.faults.front import DeployedNginx
from tests.support.nginx import BINARY
from tests.support.service import SESSION, Service, Way
from tests.support.sse import request as asked
from tests.support.valkey import Valkey

PREFIX = "/jobcast"
SERVERS: tuple[Way, ...] = ("direct", "uvicorn")
FRONTS = ("nobody", "nginx that passes", "nginx that strips")


class MountedNginx(DeployedNginx):
    """The deployed nginx, with the service below a prefix of a site that has nothing else."""

    def __init__(self, service: Service, *, strips: bool) -> None:
        super().__init__([service])
        rules = self._file.read_text()
        for given, own in (
            ("location / {", f"location {PREFIX}/ {{"),
            ("proxy_pass http://jobcast;", f"proxy_pass http://jobcast{'/' if strips else ''};"),
        ):
            assert given in rules
            rules = rules.replace(given, own)
        self._file.write_text(rules)


@pytest.fixture(scope="module", params=SERVERS)
def mounted(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[Service]:
    with Service(valkey.url, way=request.param, root_path=PREFIX) as running:
        yield running


@pytest.fixture(scope="module", params=FRONTS)
def site(request: pytest.FixtureRequest, mounted: Service) -> Iterator[str]:
    """Return the address of the site below which the service is mounted."""
    if request.param == "nobody":
        yield mounted.url
        return
    if BINARY is None:
        pytest.skip("no nginx is installed: nothing can be said of what stands in front")
    with MountedNginx(mounted, strips=request.param == "nginx that strips") as nginx:
        yield nginx.url


@pytest.fixture
async def jobs(valkey: Valkey) -> AsyncIterator[jobcast.Jobs]:
    async with jobcast.connect(valkey.url, progress_per_s=None) as connected:
        yield connected


@pytest.fixture(autouse=True)
def no_keys(valkey: Valkey) -> None:
    valkey.flush()


def client_of(site: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=site, headers={"x-session-id": SESSION}, timeout=10)


async def test_addresses_carry_the_prefix_and_lead_there(site: str, jobs: jobcast.Jobs) -> None:
    async with client_of(site) as client:
        created = await client.post(f"{PREFIX}/api/v1/jobs", json={"type": "any"})
        assert created.status_code == 201, created.text
        job_id = created.json()["jobId"]
        at = f"{PREFIX}/api/v1/jobs/{job_id}"
        assert created.json()["statusUrl"] == created.headers["location"] == f"{at}/status"
        assert created.json()["streamUrl"] == f"{at}/stream"
        assert (await client.get(created.headers["location"])).json()["status"] == "queued"
        listed = (await client.get(f"{PREFIX}/api/v1/jobs")).json()["jobs"]
        assert [job["jobId"] for job in listed] == [job_id]
        async with jobs.run(job_id) as run:
            await run.progress(50)
            headers = {"x-session-id": SESSION}
            async with asked(site, f"{at}/stream", headers=headers) as stream:
                assert stream.status == 200
                await stream.until("progress-update")
                await run.complete({"of": "all"})
                last = (await stream.until("complete"))[-1]
                assert last.data == {"result": {"of": "all"}}
        again = await client.get(f"{at}/stream", headers={"Last-Event-ID": last.id})
        assert again.status_code == 204
        assert (await client.post(f"{at}/cancel")).json()["code"] == "JOB_NOT_CANCELLABLE"


async def test_the_description_names_the_prefix(site: str) -> None:
    async with client_of(site) as client:
        description = (await client.get(f"{PREFIX}/openapi.json")).json()
        assert description["servers"] == [{"url": PREFIX}]
        for name in ("healthz", "readyz"):
            assert (await client.get(f"{PREFIX}/{name}")).status_code == 200


async def test_all_that_the_page_of_the_interface_names_is_there(site: str) -> None:
    async with client_of(site) as client:
        page = await client.get(f"{PREFIX}/docs")
        names = re.findall(r'href="([^"#]+)"', page.text)
        assert {"openapi.json", "asyncapi.json", "static/css/docs.css"} <= set(names)
        for name in names:
            answer = await client.get(urljoin(str(page.url), name))
            assert answer.status_code == 200, name
        messages = await client.get(f"{PREFIX}/asyncapi.json")
        assert messages.json()["servers"]["service"]["pathname"] == PREFIX


@pytest.mark.parametrize("opened", [PREFIX, f"{PREFIX}/"])
async def test_all_that_the_page_names_is_there(site: str, opened: str) -> None:
    async with client_of(site) as client:
        page = await client.get(opened, follow_redirects=True)
        assert page.status_code == 200
        base = re.search(r'<base href="([^"]+)">', page.text)
        assert base is not None
        names = re.findall(r'(?:href|src)="([^"#]+)"', page.text)
        assert len(names) > 10
        for name in names:
            address = urljoin(urljoin(str(page.url), base[1]), name)
            answer = await client.get(address)
            assert answer.status_code == 200, address
        script = next(name for name in names if name.endswith("main.js"))
        assert urlsplit(urljoin(base[1], script)).path == f"{PREFIX}/static/js/main.js"


async def test_nobody_sees_the_metrics_through_a_proxy(mounted: Service) -> None:
    if BINARY is None:
        pytest.skip("no nginx is installed: nothing can be said of what stands in front")
    for strips in (True, False):
        with MountedNginx(mounted, strips=strips) as nginx:
            async with client_of(nginx.url) as client:
                for path in ("", PREFIX, f"{PREFIX}/", PREFIX * 2, f"{PREFIX * 2}/"):
                    for name in ("metrics", "metric%73"):
                        assert (await client.get(f"{path}/{name}")).status_code == 404
    async with client_of(mounted.url) as client:
        assert "jobcast_streams" in (await client.get(f"{PREFIX}/metrics")).text


async def test_a_viewer_comes_again_to_a_mounted_service_that_is_away(valkey: Valkey) -> None:
    if BINARY is None:
        pytest.skip("no nginx is installed: nothing can be said of what stands in front")
    service = Service(valkey.url, root_path=PREFIX)
    with MountedNginx(service, strips=True) as nginx:
        async with client_of(nginx.url) as client:
            path = f"{PREFIX}/api/v1/jobs/a/stream"
            reconnected = await client.get(path, headers={"Last-Event-ID": "1-0"})
            assert (reconnected.status_code, reconnected.text[:14]) == (200, ": unavailable\n")
            assert (await client.get(path)).status_code == 503


@pytest.fixture(scope="module")
def trusting(valkey: Valkey) -> Iterator[Service]:
    with Service(valkey.url, JOBCAST_TRUST_FORWARDED_PREFIX="1") as running:
        yield running


@pytest.fixture(scope="module")
def distrusting(valkey: Valkey) -> Iterator[Service]:
    with Service(valkey.url, JOBCAST_TRUST_FORWARDED_PREFIX="0") as running:
        yield running


@pytest.mark.parametrize(
    ("forwarded", "prefix"),
    [("/a/b", "/a/b"), ("//evil.example", ""), ("https://evil.example", ""), ("/a\tb", "")],
)
async def test_a_forwarded_prefix_counts_if_it_is_to_be_trusted(
    trusting: Service, distrusting: Service, forwarded: str, prefix: str
) -> None:
    for service, believed in ((trusting, prefix), (distrusting, "")):
        async with service.client() as client:
            client.headers["X-Forwarded-Prefix"] = forwarded
            created = await client.post("/api/v1/jobs", json={"type": "any"})
            assert created.headers["location"].startswith(f"{believed}/api/v1/jobs/")
            job_id = created.json()["jobId"]
            answer = await client.get(f"/api/v1/jobs/{job_id}/status")
            assert answer.status_code == 200


@pytest.mark.asyncio(loop_scope="session")
async def test_the_page_works_below_a_prefix(site: str, valkey: Valkey, page: Page) -> None:
    problems: list[str] = []

    def judge(answer: Response) -> None:
        if answer.status >= 400:
            problems.append(answer.url)

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", judge)
    await page.goto(f"{site}{PREFIX}")  # nginx adds the slash, the service does without
    await page.get_by_test_id("start").click()
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "live")
    job_id = await page.get_by_test_id("job-id").text_content()
    assert job_id is not None
    async with jobcast.connect(valkey.url, progress_per_s=None) as jobs, jobs.run(job_id) as run:
        await run.progress(50)
        await expect(page.get_by_test_id("percent")).to_contain_text("50")
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "succeeded")
    link = page.get_by_test_id("recent").locator("a")
    await expect(link).to_have_count(1)
    await link.click()
    await expect(page.get_by_test_id("state")).to_have_attribute("data-state", "succeeded")
    assert urlsplit(page.url).path.rstrip("/") == PREFIX
    assert problems == []
