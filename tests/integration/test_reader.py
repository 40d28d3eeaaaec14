import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

import jobcast
from eventlog.catch_up import PAGE, CatchUp
from eventlog.errors import LogUnavailable, UnreadableJob
from eventlog.index import OwnerIndex
from eventlog.leases import Leases
from eventlog.question import Question
from eventlog.reader import Reader, ReadFailure
from eventlog.redis_calls import connect
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Replies
from jobcast.redis.server import Server
from schema.owner import Owner
from schema.resume import Reason
from schema.state import JobState
from tests.support.clock import in_virtual_time
from tests.support.stored import cancel, log_of, retry
from tests.support.valkey import HOST, Valkey

LOG, STATE = "jobs:{j1}:log", "jobs:{j1}:state"


class ServerBatches:
    """Counts the batches that were asked, and how many of them were under way at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = self.under_way = self.most = 0
        ordinary = Server.ask

        async def counted(server: Server, commands: bytes, count: int) -> Replies:
            self.count += 1
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            try:
                return await ordinary(server, commands, count)
            finally:
                self.under_way -= 1

        monkeypatch.setattr(Server, "ask", counted)


@pytest.fixture
async def reader(caller: Caller) -> AsyncIterator[Reader]:
    reading = Reader(caller)
    yield reading
    await reading.close()


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> ServerBatches:
    return ServerBatches(monkeypatch)


@pytest.fixture
async def run(jobs: jobcast.Jobs) -> jobcast.Run:
    """Return a run of the job ``j1``, which is under way."""
    await jobs.create("report", user_id="u1", job_id="j1")
    started = jobs.run("j1")
    await started.start()
    return started


def ids(answer: CatchUp) -> list[str | None]:
    assert answer.missed is not None
    return [entry.id for entry in answer.missed]


async def test_a_state_is_read(reader: Reader, run: jobcast.Run) -> None:
    last = await run.progress(40, "Writing...")
    state = await reader.load("j1")
    assert state is not None
    assert (state.status, state.progress, state.current_step) == ("running", 40, "Writing...")
    assert (state.last, state.user_id) == (last, "u1")


async def test_a_job_that_does_not_exist_has_no_state(reader: Reader) -> None:
    assert await reader.load("nobody") is None
    assert await reader.catch_up("nobody", "5-0") == CatchUp(None)


async def test_what_follows_a_cursor_is_read_with_the_state(
    reader: Reader, run: jobcast.Run
) -> None:
    first = await run.progress(10)
    later = [await run.progress(20), await run.emit("note", {}), await run.progress(30)]
    answer = await reader.catch_up("j1", first)
    assert ids(answer) == later
    assert answer.state is not None
    assert (answer.state.last, answer.more) == (later[-1], False)


async def test_nothing_follows_the_last_entry(reader: Reader, run: jobcast.Run) -> None:
    assert ids(await reader.catch_up("j1", await run.progress(10))) == []


@pytest.mark.parametrize("cursor", ["0-0", "1-1", "99999999999999-0", f"{2**64 - 1}-{2**64 - 1}"])
async def test_a_cursor_that_is_not_in_the_log_gets_the_state_alone(
    reader: Reader, run: jobcast.Run, cursor: str
) -> None:
    await run.progress(10)
    answer = await reader.catch_up("j1", cursor)
    assert answer.state is not None
    assert answer.missed is None


async def test_an_entry_past_the_last_one_is_not_in_the_log(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    last = await run.progress(10)
    past = str(await redis_client.xadd(LOG, {"event": "note", "data": "{}"}))
    answer = await reader.catch_up("j1", past)
    assert answer.missed is None
    assert answer.reset_reason(past) is Reason.UNKNOWN
    assert ids(await reader.catch_up("j1", last)) == []


async def test_log_only_entries_are_part_of_what_was_missed(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    first = await run.progress(10)
    await cancel(redis_client, "j1")
    answer = await reader.catch_up("j1", first)
    assert answer.missed is not None
    assert [entry.name for entry in answer.missed] == ["_cancel-requested"]


async def test_a_viewer_of_an_earlier_attempt_begins_anew_and_an_actor_goes_on(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    first = await run.progress(10)
    failed = await run.fail("Boom")
    await retry(redis_client, "j1")
    answer = await reader.catch_up("j1", first)
    assert ids(answer)[0] == failed
    assert answer.reset_reason(first) is Reason.ATTEMPT
    retried = (await log_of(redis_client, "j1"))[-1][0]
    answer = await reader.catch_up("j1", retried)
    assert (answer.missed, answer.reset_reason(retried)) == ((), None)


@pytest.mark.parametrize("count", [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1])
async def test_a_long_way_is_read_page_by_page(
    reader: Reader, run: jobcast.Run, count: int
) -> None:
    cursor = await run.progress(10)
    missed = [await run.emit("note", {"number": number}) for number in range(count)]
    seen: list[str | None] = []
    while True:
        answer = await reader.catch_up("j1", cursor)
        assert len(ids(answer)) <= PAGE
        seen += ids(answer)
        if not answer.more:
            break
        cursor = seen[-1] or ""
    assert seen == missed


async def test_an_entry_that_came_after_the_state_was_read_is_left_for_later(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    first = await run.progress(10)
    second = await run.progress(20)
    await run.progress(30)
    await redis_client.hset(STATE, "last", second)
    assert ids(await reader.catch_up("j1", first)) == [second]


async def test_questions_of_one_turn_go_out_together(
    reader: Reader, jobs: jobcast.Jobs, batches: ServerBatches
) -> None:
    for number in range(100):
        await jobs.create("report", user_id="u1", job_id=f"j{number}")
    states = await asyncio.gather(*(reader.load(f"j{number}") for number in range(100)))
    assert all(state is not None for state in states)
    assert batches.count == 1


async def test_the_same_question_is_asked_once(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    cursor = await run.progress(10)
    await run.progress(20)
    await redis_client.config_resetstat()
    answers = await asyncio.gather(*(reader.catch_up("j1", cursor) for _ in range(100)))
    assert all(answer is answers[0] for answer in answers)
    counts = await redis_client.info("commandstats")
    assert counts["cmdstat_hmget"]["calls"] == counts["cmdstat_xrange"]["calls"] == 1


async def test_a_question_that_was_asked_before_is_not_answered_with_the_past(
    reader: Reader, run: jobcast.Run
) -> None:
    for percent in range(20):
        under_way = asyncio.ensure_future(reader.load("j1"))
        await asyncio.gather(reader.load("other"), under_way)
        last = await run.progress(percent)
        state = await reader.load("j1")
        assert state is not None
        assert state.last == last


async def test_a_crowd_is_served_in_batches_with_two_under_way_at_most(
    reader: Reader, batches: ServerBatches
) -> None:
    answers = await asyncio.gather(*(reader.load(f"j{number}") for number in range(1050)))
    assert answers == [None] * 1050
    assert batches.count == 6
    assert batches.most == 2


async def test_what_is_asked_while_two_are_under_way_gathers(
    reader: Reader, batches: ServerBatches
) -> None:
    async def ask_later(number: int) -> None:
        await reader.load(f"first{number}")
        await reader.load(f"second{number}")

    await asyncio.gather(*(ask_later(number) for number in range(600)))
    assert batches.count <= 2 * 600 / 200 + 2
    assert batches.most == 2
    (batches_of_server,) = reader._batches._batches.values()
    assert not batches_of_server._pending
    assert not batches_of_server._tasks


async def test_a_look_at_a_job_that_is_as_it_was_costs_four_fields(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    await run.progress(10)
    known = await reader.load("j1")
    assert known is not None
    await redis_client.config_resetstat()
    answer = await looked(reader, known)
    assert (answer.state, answer.missed) == (known, ())
    counts = await redis_client.info("commandstats")
    assert counts["cmdstat_hmget"]["calls"] == 1
    assert "cmdstat_xrange" not in counts


async def test_a_look_at_a_job_that_went_on_says_how(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    await run.progress(10)
    known = await reader.load("j1")
    assert known is not None
    later = await run.progress(20)
    answer = await looked(reader, known)
    assert ids(answer) == [later]
    await redis_client.flushdb()
    assert await looked(reader, known) == CatchUp(None)


async def test_a_look_says_that_redis_is_away() -> None:
    with Valkey() as valkey:
        caller = connect(valkey.url)
        reader = Reader(caller)
        assert await reader.load("j1") is None
        valkey.stop()
        known = JobState("queued", 1, "1-0", "1-0", "1-0", "report")
        with pytest.raises(LogUnavailable):
            await looked(reader, known)
        await reader.close()
        await caller.aclose()


async def looked(reader: Reader, known: JobState) -> CatchUp:
    """Return what a look at ``j1`` says."""
    answered: asyncio.Future[CatchUp | ReadFailure] = asyncio.Future()
    reader.ask_if_changed("j1", known, answered.set_result)
    answer = await answered
    if not isinstance(answer, CatchUp):
        raise answer
    return answer


async def test_one_who_asks_no_more_harms_nobody(reader: Reader, run: jobcast.Run) -> None:
    impatient = [asyncio.ensure_future(reader.load("j1")) for _ in range(3)]
    patient = asyncio.ensure_future(reader.load("j1"))
    asyncio.get_running_loop().call_soon(lambda: [task.cancel() for task in impatient])
    state = await patient
    assert state is not None
    assert all(task.cancelled() for task in impatient)


async def test_a_question_that_nobody_waits_for_any_more_is_no_mistake(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    monkeypatch.setattr(Question, "answer", _broken)
    asked = asyncio.ensure_future(reader.load("j1"))
    asyncio.get_running_loop().call_soon(asked.cancel)
    await asyncio.wait({asked})
    await reader.close()
    del asked
    gc.collect()
    assert complaints == []


def _broken(*_: object) -> CatchUp:
    raise ValueError("broken")


async def test_closing_waits_for_what_is_under_way(reader: Reader, run: jobcast.Run) -> None:
    asked = asyncio.ensure_future(reader.load("j1"))
    await asyncio.sleep(0)
    await reader.close()
    assert await asked is not None


async def test_a_job_that_is_stored_wrongly_spoils_nobody_elses_answer(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    last = await run.progress(10)
    await redis_client.set("jobs:{j2}:state", "no hash")
    await redis_client.hset("jobs:{j3}:state", mapping={"status": "sleeping"})
    await redis_client.copy(STATE, "jobs:{j4}:state")
    await redis_client.set("jobs:{j4}:log", "no stream")
    answers = await asyncio.gather(
        *(reader.catch_up(job, last) for job in ("j1", "j2", "j3", "j4")), return_exceptions=True
    )
    assert isinstance(answers[0], CatchUp)
    assert ids(answers[0]) == []
    assert [type(answer) for answer in answers[1:]] == [UnreadableJob, UnreadableJob, CatchUp]
    assert answers[3] == CatchUp(answers[0].state)


async def test_bytes_that_are_no_text_spoil_nobody_elses_answer(
    reader: Reader, run: jobcast.Run, redis_client: Redis
) -> None:
    first = await run.progress(10)
    await redis_client.hset("jobs:{j2}:state", mapping={"status": b"\xff\xfe", "last": b"\xff"})
    await redis_client.hset(STATE, "currentStep", b"caf\xe9")
    answers = await asyncio.gather(
        reader.catch_up("j1", first), reader.load("j2"), return_exceptions=True
    )
    assert isinstance(answers[0], CatchUp)
    assert answers[0].state is not None
    assert answers[0].state.current_step == "caf\ufffd"
    assert isinstance(answers[1], UnreadableJob)


@pytest.mark.parametrize(
    "entry",
    [
        {"event": "progress-update", "data": '{"progress":"much"}'},
        {"event": "progress-update", "data": "no JSON"},
        {"event": "Message", "data": "{}"},
        {"data": "{}"},
        {"event": "note", "data": b'{"a":"\xff"'},
    ],
)
async def test_an_entry_that_is_no_event_hides_no_other(
    reader: Reader, run: jobcast.Run, redis_client: Redis, entry: dict[Any, Any]
) -> None:
    first = await run.progress(10)
    odd = await redis_client.xadd(LOG, entry)
    last = await run.progress(20)
    answer = await reader.catch_up("j1", first)
    assert answer.missed is not None
    assert [(each.id, each.event is None) for each in answer.missed] == [(odd, True), (last, False)]


async def test_everybody_is_told_that_redis_is_away_and_served_when_it_is_back() -> None:
    with Valkey() as valkey:
        caller = connect(valkey.url)
        reader = Reader(caller)
        assert await reader.load("j1") is None
        valkey.stop()
        answers = await asyncio.gather(
            *(reader.load(f"j{number}") for number in range(300)), return_exceptions=True
        )
        assert all(isinstance(answer, LogUnavailable) for answer in answers)
        valkey.start()
        assert await reader.load("j1") is None
        await reader.close()
        await caller.aclose()


@pytest.mark.parametrize("form", ["redis", "redis+sentinel", "redis+cluster"])
def test_a_redis_that_says_nothing_is_away_in_less_than_two_seconds(form: str) -> None:
    """It has taken the connection, and no machine is slow in virtual time."""

    async def scenario(url: str) -> None:
        caller = connect(url)
        reader = Reader(caller)
        now = asyncio.get_running_loop().time
        for _ in range(2):
            began = now()
            with pytest.raises(LogUnavailable):
                await reader.load("j1")
            assert now() - began <= 1.41
        await reader.close()
        await caller.aclose()

    with ExitStack() as mute:
        servers = [mute.enter_context(socket.create_server((HOST, 0))) for _ in range(3)]
        hosts = [f"{HOST}:{server.getsockname()[1]}" for server in servers]
        name = "/name" if form == "redis+sentinel" else ""
        in_virtual_time(
            scenario(f"{form}://{hosts[0] if form == 'redis' else ','.join(hosts)}{name}")
        )


async def test_a_redis_that_freezes_is_away_and_served_when_it_goes_on() -> None:
    with Valkey() as valkey:
        caller = connect(valkey.url)
        reader = Reader(caller)
        assert await reader.load("j1") is None
        valkey.pause()
        with pytest.raises(LogUnavailable):
            await reader.load("j1")
        valkey.resume()
        assert await reader.load("j1") is None
        await reader.close()
        await caller.aclose()


async def test_nobody_waits_for_an_answer_that_failed_in_a_way_not_foreseen(
    reader: Reader, run: jobcast.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> Replies:
        raise RuntimeError("something new")

    with monkeypatch.context() as patch:
        patch.setattr(Server, "ask", fails)
        with pytest.raises(LogUnavailable, match="RuntimeError"):
            await reader.load("j1")
    state = await reader.load("j1")
    assert state is not None
    assert state.status == "running"


async def test_in_a_cluster_a_job_that_is_stored_wrongly_is_unreadable_too(
    cluster_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await set_up(cluster_caller, "SET", "jobs:{j2}:state", "no hash")
    await set_up(cluster_caller, "SET", "jobs:{j3}:log", "no stream")
    fields = {"status": "failed", "attempt": "1", "created": "1-0", "last": "2-0", "progress": "x"}
    for pair in fields.items():
        await set_up(cluster_caller, "HSET", "jobs:{j3}:state", *pair)
    reading = Reader(cluster_caller)
    answers = []
    for _ in range(2):
        with pytest.raises(UnreadableJob):
            await reading.load("j2")
        assert await reading.owner_in_log("j2") == Owner()
        answers.append(await reading.catch_up("j3", "1-0"))
        nobody = SimpleNamespace(known=lambda _name: None)
        monkeypatch.setattr(reading._batches, "_servers", nobody)  # by a call of its own then
    assert answers[0] == answers[1]
    assert answers[0].state is not None
    assert (answers[0].state.status, answers[0].missed) == ("failed", None)
    await reading.close()


async def test_in_a_cluster_members_of_an_index_may_be_any_bytes_too(
    cluster_caller: Caller,
) -> None:
    members = {b"1732382400000:j1", b"1732382400000:\xff", b"\x80"}
    for member in members:
        await set_up(cluster_caller, "ZADD", "jobs:by-session:s1", "0", member)
    index = OwnerIndex(cluster_caller)
    assert set(await index.page(None, "s1", 10, None)) == members
    await index.remove([b"1732382400000:\xff", b"\x80"], None, "s1")
    assert await index.page(None, "s1", 10, None) == [b"1732382400000:j1"]
    await set_up(cluster_caller, "ZADD", "jobs:leases", "1", b"j1:\xff", "1", b"nobody's")
    (run,) = await Leases(cluster_caller).claim(10**15, 10, 1000)
    assert (run.job_id, run.run) == ("j1", b"\xff")
    assert await cluster_caller.call("jobs:leases", "ZCARD", "jobs:leases") == 1


async def set_up(caller: Caller, command: str, key: str, *arguments: str | bytes) -> None:
    """Have a key be as no job has it."""
    await caller.call(key, command, key, *arguments)
