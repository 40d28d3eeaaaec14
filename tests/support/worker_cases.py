"""Runs the cases of tests/worker_cases.json with the Python library.

Its counterpart for Node is sdk/js/test/worker/cases.js.
"""

import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

import jobcast
from tests.support.stored import append, cancel, retry, state_of

FILE: Final = Path(__file__).parents[1] / "worker_cases.json"
CASES: Final[list[dict[str, Any]]] = json.loads(FILE.read_text())
SETTINGS: Final = {"maxEventBytes": "max_event_bytes", "progressPerS": "progress_per_s"}

Outcome = str | None


class Boom(Exception):
    """An error of a job's own code."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


def job_id_of(number: int) -> str:
    return f"case-{number}"


def made(value: Any, job_id: str) -> Any:  # noqa: ANN401 - any JSON, and what JSON lacks
    """Return a value of a case, with placeholders (objects with ``$``) replaced."""
    if isinstance(value, list):
        return [made(each, job_id) for each in value]
    if not isinstance(value, dict):
        return value
    match value.get("$"):
        case "long":
            return value["of"] * value["times"]
        case "circular":
            circle: dict[str, Any] = {}
            circle["circle"] = circle
            return circle
        case None:
            return {key: made(each, job_id) for key, each in value.items()}
    odd = {"nan": math.nan, "infinity": math.inf, "set": {1}, "function": made, "own": job_id}
    return odd[value["$"]]


async def _progress(run: jobcast.Run, step: dict[str, Any]) -> None:
    names = ("step", "eta", "current", "total", "unit")
    given = {each: step[each] for each in names if each in step}
    await run.progress(step.get("progress"), **given, **step.get("more", {}))


async def _step(run: jobcast.Run, step: dict[str, Any]) -> None:
    await run.step(step["step"], step.get("progress"), step.get("eta"), **step.get("more", {}))


async def _track(run: jobcast.Run, step: dict[str, Any]) -> None:
    async for _ in run.track(range(step["items"]), step["step"], unit=step["unit"]):
        pass


async def _log(run: jobcast.Run, step: dict[str, Any]) -> None:
    await run.log(step["text"], step.get("level", "info"), **step.get("more", {}))


CALLS: Final[dict[str, Callable[[jobcast.Run, dict[str, Any]], Awaitable[object]]]] = {
    "start": lambda run, _: run.start(),
    "progress": _progress,
    "step": _step,
    "advance": lambda run, step: run.advance(step.get("count", 1)),
    "track": _track,
    "emit": lambda run, step: run.emit(step["event"], step["data"]),
    "log": _log,
    "complete": lambda run, step: run.complete(step.get("result")),
    "fail": lambda run, step: run.fail(step["error"], step.get("code")),
}


class Player:
    """Makes the calls of one case, and records the error that each raises, if any."""

    def __init__(self, jobs: jobcast.Jobs, redis: Redis, job_id: str) -> None:
        self._jobs = jobs
        self._redis = redis
        self._job_id = job_id
        self.runs: dict[str, jobcast.Run] = {}
        self.outcomes: list[Outcome] = []

    async def play(self, steps: Sequence[Mapping[str, Any]]) -> None:
        for step in steps:
            if "do" in step:
                await self._do(step["do"])
            else:
                await self._note(step)

    async def _note(self, step: Mapping[str, Any]) -> None:
        try:
            await self._call(made(step, self._job_id))
        except Exception as error:
            self.outcomes.append(type(error).__name__)
            if step.get("passes"):
                raise
        else:
            self.outcomes.append(None)

    async def _do(self, deed: str) -> None:
        log, state = (f"jobs:{{{self._job_id}}}:{kind}" for kind in ("log", "state"))
        match deed:
            case "cancel":
                await cancel(self._redis, self._job_id)
            case "retry":
                await retry(self._redis, self._job_id)
            case "expire":
                await self._redis.delete(log, state)
            case "damage":
                await self._redis.set(log, "x")
            case "stall":
                await self._redis.hset(state, "lease", "1")
                fields = {"error": "The worker was lost", "errorCode": "STALLED"}
                await append(self._redis, self._job_id, "stall", fields=fields)

    def _run(self, name: str, attempt: int | None) -> jobcast.Run:
        if name not in self.runs:
            self.runs[name] = self._jobs.run(self._job_id, attempt)
        return self.runs[name]

    async def _call(self, step: dict[str, Any]) -> None:
        name = step["call"]
        if name == "create":
            owner = {"user_id": step.get("userId"), "session_id": step.get("sessionId")}
            further = {"input": step.get("input"), "job_id": step.get("jobId")}
            await self._jobs.create(step["type"], **owner, **further)
            return
        run = self._run(step.get("run", "first"), step.get("attempt"))
        if name in {"cancel", "retry"}:
            await getattr(self._jobs, name)(self._job_id)
        elif name == "plan":
            run.plan(step["weights"])
        elif name == "work":
            await self._work(run, step)
        else:
            await CALLS[name](run, step)

    async def _work(self, run: jobcast.Run, step: dict[str, Any]) -> None:
        async with run:
            await self.play(step["body"])
            if "throws" in step:
                raise Boom(**step["throws"])
            run.result = step.get("result")


async def played(url: str, redis: Redis, number: int) -> dict[str, Any]:
    """Run a case; return the error of each call, and attempt and input of the first run."""
    case, job_id = CASES[number], job_id_of(number)
    given = {SETTINGS[name]: value for name, value in case.get("settings", {}).items()}
    settings: Any = {"lease_s": None, "progress_per_s": None, **given}
    async with jobcast.connect(url, **settings) as jobs:
        created = made({"type": "report", "userId": "u1", **case.get("create", {})}, job_id)
        await jobs.create(
            created["type"],
            user_id=created["userId"],
            session_id=created.get("sessionId"),
            input=created.get("input"),
            job_id=job_id,
        )
        if "stored" in case:
            await redis.hset(f"jobs:{{{job_id}}}:state", mapping=case["stored"])
        player = Player(jobs, redis, job_id)
        await player.play(case["calls"])
    first = player.runs.get("first")
    started = {"attempt": first and first.attempt, "input": first.input if first else {}}
    return {"outcomes": player.outcomes, "started": started}


def expected(steps: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Return the errors that the calls of a case should raise, in the order of their ends."""
    outcomes: list[Outcome] = []
    for step in steps:
        outcomes += expected(step.get("body", []))
        if "call" in step:
            outcomes.append("JobCancelled" if step.get("passes") else step.get("raises"))
    return outcomes


async def stored(redis: Redis, job_id: str) -> dict[str, Any]:
    """Return the state, events and sequence numbers of a job; empty unless it is intact."""
    kinds = [await redis.type(f"jobs:{{{job_id}}}:{kind}") for kind in ("log", "state")]
    if kinds != ["stream", "hash"]:
        return {"state": {}, "log": [], "numbers": []}
    entries: Any = await redis.xrange(f"jobs:{{{job_id}}}:log", "-", "+")
    fields = [each for _, each in entries if each["event"] != "_created"]
    return {
        "state": await state_of(redis, job_id),
        "log": [[each["event"], json.loads(each["data"])] for each in fields],
        "numbers": [each["seq"] for each in fields if "seq" in each],
    }
