"""Tokens that are signed with a private key, and the four ways to give a service the public one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest

import jobcast
from tests.support.calls import ON_WHAT_IS_THERE, call
from tests.support.keys import PAIRS, KeyPair, key_set, new_pair
from tests.support.service import Service, token
from tests.support.valkey import HOST, Valkey

CLAIMS = {"iss": "us", "aud": "jobs"}


@contextmanager
def published(text: str) -> Iterator[str]:
    """Serve a text at a URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://{HOST}:{server.server_port}/jwks.json"
        finally:
            server.shutdown()


@contextmanager
def configured(form: str, folder: Path) -> Iterator[tuple[dict[str, Any], list[KeyPair]]]:
    """Give the variables of a service that knows public keys, and their pairs."""
    file, pairs = folder / "key", [PAIRS["ES256"]]
    if form == "PEM text":
        yield {"JOBCAST_JWT_PUBLIC_KEY": pairs[0].pem}, pairs
        return
    if form == "PEM file":
        file.write_text(pairs[0].pem)
        yield {"JOBCAST_JWT_PUBLIC_KEY": str(file)}, pairs
        return
    pairs = list(PAIRS.values())
    if form == "JWKS file":
        file.write_text(key_set(*pairs))
        yield {"JOBCAST_JWT_JWKS": str(file)}, pairs
        return
    with published(key_set(*pairs)) as url:
        yield {"JOBCAST_JWT_JWKS": url}, pairs


@pytest.mark.parametrize("form", ["PEM text", "PEM file", "JWKS file", "JWKS URL"])
async def test_tokens_of_a_private_key_are_verified_with_the_public_one(
    valkey: Valkey, jobs: jobcast.Jobs, form: str, tmp_path: Path
) -> None:
    job_id = await jobs.create("anything", user_id="user-1")
    with configured(form, tmp_path) as (variables, pairs):
        good = [pair.token(**CLAIMS) for pair in pairs]
        bad = [
            new_pair("ES256").token(**CLAIMS),
            pairs[0].token(),
            pairs[0].token(iss="us", aud="others"),
            pairs[0].token(iss="them", aud="jobs"),
            pairs[0].token(exp=1, **CLAIMS),
            token(**CLAIMS),
            jwt.encode({"userId": "user-1", **CLAIMS}, "", "none"),
        ]
        algorithms = ",".join(pair.algorithm for pair in pairs)
        with Service(
            valkey.url,
            JWT_SECRET="",
            JOBCAST_JWT_ALGORITHMS=algorithms,
            JOBCAST_JWT_ISSUER="us",
            JOBCAST_JWT_AUDIENCE="jobs",
            **variables,
        ) as service:
            async with service.client(None) as client:
                for given, expected in ((good, 200), (bad, 401)):
                    for text in given:
                        headers = {"Authorization": f"Bearer {text}"}
                        for name in ("status", "stream", "list"):
                            answer = await call(client, name, job_id, headers=headers)
                            assert answer.status_code == expected, (form, name, text)


async def test_in_demo_mode_without_a_key_no_token_is_good(
    valkey: Valkey, jobs: jobcast.Jobs
) -> None:
    job_id = await jobs.create("anything", user_id="user-1")
    with Service(valkey.url, JWT_SECRET="", JOBCAST_DEMO="1") as service:
        assert "demo mode" in service.log
        async with service.client(None) as client:
            for text in (token(), jwt.encode({"userId": "user-1"}, "", "none")):
                for name in ON_WHAT_IS_THERE:
                    headers = {"Authorization": f"Bearer {text}"}
                    assert (await call(client, name, job_id, headers=headers)).status_code == 401
            answer = await call(client, "create", headers={"x-session-id": "s"})
            assert answer.status_code == 201
