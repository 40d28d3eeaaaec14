"""``jobcast-service dev``: Valkey, the service and its page, reachable from this machine only."""

import argparse
import asyncio
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from app.auth.minting import mint
from app.dev.process import HOST, LaunchFailed, port_of
from app.dev.stack import PORTS, Stack, launch
from app.settings import InvalidSettings, Settings, settings_from, variable

USER: Final = "dev"
VALID_S: Final = 30 * 86_400

_ANY: Final = "*"

_STARTED: Final = """
  Page    {url}/
  Token   {token}
  Redis   {redis}
  Logs    {data}/*.log

A job of your own, from any Python program (pip install jobcast):

    import time
    from jobcast import sync as jobcast

    with jobcast.connect("{redis}") as jobs:
        job_id = jobs.create("report", user_id="{user}", session_id="{session}")
        print(f"{url}/#job={{job_id}}&session={session}")
        with jobs.run(job_id) as run:
            for page in run.track(range(100), step="Writing", unit="page"):
                time.sleep(0.1)

In your own page, {origins}:

    <script type="module" src="{url}/jobcast-element.js"></script>
    <job-progress job="the id" token="the token"></job-progress>

Ctrl-C stops it."""


def _where(origins: str) -> str:
    return "of any origin" if origins == _ANY else f"at {origins.replace(' ', ', ')}"


def token_of(settings: Settings) -> str:
    """Return lines to print: a token of ``USER``, or why there is none."""
    token = mint(settings, USER, VALID_S)
    if token is None:
        return (
            f"none can be made: {variable('jwt_algorithms')} accepts only tokens that the holder"
            " of\n          a private key has signed; ask your issuer for one, or use the session"
            " below"
        )
    return f'{token}\n          of the user "{USER}", for 30 days'


async def _start(stack: Stack, tasks: asyncio.TaskGroup) -> None:
    environment = stack.environment
    secret = environment.get("JWT_SECRET") or stack.kept("secret")
    environment["JWT_SECRET"] = secret
    stack.default("JOBCAST_CORS_ORIGINS", _ANY)  # a page may be a file, or at any port
    stack.default("JOBCAST_QUEUE_KIND", "none")  # it starts no worker that would serve a queue
    try:
        settings = settings_from(environment)
    except InvalidSettings as error:
        raise LaunchFailed(str(error)) from error
    await stack.start(tasks)
    await stack.ready()
    started = _STARTED.format(
        url=f"http://{HOST}:{stack.port}",
        token=token_of(settings),
        user=USER,
        redis=environment["REDIS_URL"],
        data=stack.data,
        session=stack.kept("session"),
        origins=_where(environment["JOBCAST_CORS_ORIGINS"]),
    )
    print(started, flush=True)


def _port(text: str) -> int:
    try:
        return port_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="jobcast-service", description="Jobcast on this machine, for development."
    )
    dev = parser.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser(
        "dev",
        help="start Valkey, the service and its page on this machine",
        description=textwrap.dedent("""
            Start Valkey, the service and its page on 127.0.0.1, and print a token and a snippet. If
            REDIS_URL is set, that Redis is used instead. All settings of the service count; by
            default the queue kind is none.
        """),
    )
    dev.add_argument(
        "--port",
        type=_port,
        help=f"of the service; by default the first free one from {PORTS[0]} on",
    )
    dev.add_argument(
        "--data",
        type=Path,
        default=Path(".jobcast"),
        help="folder of data and logs, kept for the next start; by default .jobcast",
    )
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run the command until a signal; return 1 if it failed."""
    arguments = _arguments(given)
    return launch(_start, arguments.data, "--data", "jobcast-service dev", arguments.port)


if __name__ == "__main__":
    sys.exit(main())
