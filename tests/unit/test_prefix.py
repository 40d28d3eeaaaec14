"""Which address of the service is meant, whoever strips the prefix below which it is mounted."""

import re
from typing import Any

import pytest
from werkzeug.exceptions import HTTPException, NotFound

from app import create_app
from app.factory import _finder
from app.prefix import Prefix, public_path
from app.settings import Settings
from tests.support.service import SECRET

APP = create_app(Settings(jwt_secret=SECRET))
STATUS = "/api/v1/jobs/a/status"


def settled(
    path: str, root: str, *headers: tuple[str, str], trusts: bool = True
) -> tuple[str, str]:
    """Return ``root_path`` and the path below it."""
    scope: dict[str, Any] = {
        "path": path,
        "root_path": root,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
    }
    Prefix(_finder(APP), trusts_forwarded=trusts).normalize(scope)
    assert scope["path"].startswith(scope["root_path"])
    return scope["root_path"], scope["path"].removeprefix(scope["root_path"])


@pytest.mark.parametrize(
    ("path", "root", "mounted", "meant"),
    [
        (STATUS, "", "", STATUS),
        (f"/jobcast{STATUS}", "", "", f"/jobcast{STATUS}"),
        (STATUS, "/jobcast", "/jobcast", STATUS),
        (f"/jobcast{STATUS}", "/jobcast", "/jobcast", STATUS),
        (f"/jobcast/jobcast{STATUS}", "/jobcast", "/jobcast", STATUS),
        (f"/jobcast/{STATUS}", "/jobcast/", "/jobcast", STATUS),
        (f"/jobcast{STATUS}", "jobcast", "/jobcast", STATUS),
        (f"/jobcast{STATUS}", "//jobcast//", "/jobcast", STATUS),
        (f"/{STATUS}", "/", "", STATUS),
        ("/jobcast", "/jobcast", "/jobcast", "/"),
        ("/jobcast/", "/jobcast", "/jobcast", "/"),
        ("/", "/jobcast", "/jobcast", "/"),
        ("/jobcasting", "/jobcast", "/jobcast", "/jobcasting"),
        (f"/jobcasting{STATUS}", "/jobcast", "/jobcast", f"/jobcasting{STATUS}"),
        (f"/a/b{STATUS}", "/a/b", "/a/b", STATUS),
        (f"/b{STATUS}", "/a/b", "/a/b", STATUS),
        (STATUS, "/a/b", "/a/b", STATUS),
        (STATUS, "/api", "/api", STATUS),
        (f"/api{STATUS}", "/api", "/api", STATUS),
        ("/api/healthz", "/api", "/api", "/healthz"),
        (STATUS, "/api/v1/jobs", "/api/v1/jobs", STATUS),
        ("/static/js/main.js", "/static", "/static", "/static/js/main.js"),
        (f"/täst{STATUS}", "/t%C3%A4st", "/täst", STATUS),
        ("/jobcast/nowhere", "/jobcast", "/jobcast", "/jobcast/nowhere"),
    ],
)
def test_the_path_below_the_prefix_is_found(path: str, root: str, mounted: str, meant: str) -> None:
    assert settled(path, root) == (mounted, meant)


@pytest.mark.parametrize(
    ("root", "address"),
    [
        ("", "/x"),
        ("/jobcast", "/jobcast/x"),
        ("//evil.example", "/evil.example/x"),
        ("/\\evil.example", "/%5Cevil.example/x"),
        ("/a\r\nb: c", "/a%0D%0Ab:%20c/x"),
        ("/täst", "/t%C3%A4st/x"),
        ('/"><script>', "/%22%3E%3Cscript%3E/x"),
        ("/100%", "/100%25/x"),
        ("https://evil.example", "/https:/evil.example/x"),
    ],
)
def test_an_address_never_leads_to_another_host(root: str, address: str) -> None:
    assert public_path(root, "/x") == address


@pytest.mark.parametrize(
    ("values", "mounted"),
    [
        (["/jobcast"], "/jobcast"),
        (["/jobcast/"], "/jobcast"),
        (["/a/b-c_d~e.f"], "/a/b-c_d~e.f"),
        ([], "/root"),
        ([""], "/root"),
        (["/"], "/root"),
        (["jobcast"], "/root"),
        (["//evil.example"], "/root"),
        (["/a//evil.example"], "/root"),
        (["/\\evil.example"], "/root"),
        (["https://evil.example"], "/root"),
        (["/a/../b"], "/root"),
        (["/./a"], "/root"),
        (["/a\r\nset-cookie: b"], "/root"),
        (["/a b"], "/root"),
        (["/a%0d%0ab"], "/root"),
        (["/a?b"], "/root"),
        (["/a#b"], "/root"),
        (['/"><script>'], "/root"),
        (["/ä"], "/root"),
        (["/a, /b"], "/root"),
        (["/a", "/b"], "/root"),
        (["/" + "a" * 256], "/root"),
        (["/a" * 16], "/a" * 16),
        (["/a" * 17], "/root"),
    ],
)
def test_a_prefix_that_a_proxy_names_is_one_plain_path_or_none(
    values: list[str], mounted: str
) -> None:
    headers = [("X-Forwarded-Prefix", value) for value in values]
    for path in (STATUS, f"{mounted}{STATUS}"):
        assert settled(path, "/root", *headers) == (mounted, STATUS)
        assert settled(path, "/root", *headers, trusts=False)[0] == "/root"


def test_a_prefix_that_a_proxy_names_counts_without_another() -> None:
    header = ("x-forwarded-prefix", "/jobcast")
    assert settled(STATUS, "", header) == ("/jobcast", STATUS)
    assert settled(f"/jobcast{STATUS}", "", header) == ("/jobcast", STATUS)
    assert settled(STATUS, "", header, trusts=False) == ("", STATUS)


def test_every_address_is_one_whatever_the_method() -> None:
    is_address = _finder(APP)
    adapter = APP.url_map.bind("")
    for rule in APP.url_map.iter_rules():
        path = re.sub("<.*?>", "x", rule.rule)
        assert is_address(path), path
    with pytest.raises(HTTPException):
        adapter.match("/api/v1/jobs/x/cancel", "GET")
    with pytest.raises(NotFound):
        adapter.match("/x", "GET")
    assert not is_address("/x")
