import asyncio
import time

import pytest
from redis.asyncio import Redis

from eventlog.creation_records import Claim, CreationRecords
from eventlog.errors import IdempotencyConflict, Unreadable
from jobcast.protocol.names import UNCONFIRMED_KEY, idempotency_key
from jobcast.redis.caller import Caller
from jobcast.redis.connection import Reply


@pytest.fixture
def records(caller: Caller) -> CreationRecords:
    return CreationRecords(caller)


async def test_a_fresh_key_stands_for_the_job_that_is_to_be_made(records: CreationRecords) -> None:
    claim = Claim("j1", "digest")
    assert await records.claim("user:u1", "k1", claim) == claim


async def test_a_repeat_gets_the_job_of_the_first_call(records: CreationRecords) -> None:
    first = await records.claim("user:u1", "k1", Claim("j1", "digest"))
    again = await records.claim("user:u1", "k1", Claim("j2", "digest"))
    assert again == first


async def test_another_request_under_the_same_key_is_a_conflict(records: CreationRecords) -> None:
    await records.claim("user:u1", "k1", Claim("j1", "digest"))
    with pytest.raises(IdempotencyConflict):
        await records.claim("user:u1", "k1", Claim("j2", "another"))
    assert await records.claim("user:u1", "k1", Claim("j3", "digest")) == Claim("j1", "digest")


@pytest.mark.parametrize(
    "stored",
    [
        *("", "j1", "{", "[]", "{}", '{"job_id":5,"request":"digest"}', "[" * 100_000),
        *(r'{"job_id":"\ud83d","request":"digest"}', '{"job_id":"a/b","request":"digest"}'),
        '{"job_id":"A4F1C7E2-0000-4000-8000-000000000000","request":"digest"}',
        *(b'{"job_id":"j1","request":"\xff"}', b'{"job_id":"\xff","request":"digest"}'),
    ],
    ids=lambda stored: repr(stored[:20]),
)
async def test_a_key_under_which_something_else_is_stored_is_no_outage(
    records: CreationRecords, redis_client: Redis, stored: str | bytes
) -> None:
    await redis_client.set(idempotency_key("user:u1", "k1"), stored)
    with pytest.raises(Unreadable):
        await records.claim("user:u1", "k1", Claim("j1", "digest"))


async def test_a_key_that_is_no_string_is_no_outage(
    records: CreationRecords, redis_client: Redis
) -> None:
    await redis_client.hset(idempotency_key("user:u1", "k1"), "x", "y")
    with pytest.raises(Unreadable):
        await records.claim("user:u1", "k1", Claim("j1", "digest"))


async def test_what_is_no_jobs_id_is_never_unconfirmed(
    records: CreationRecords, redis_client: Redis
) -> None:
    nobodys = [b"\xff\xfe", b"", b"a/b", b"\r\n", b"x" * 129, "é".encode()]
    await redis_client.zadd(UNCONFIRMED_KEY, dict.fromkeys([*nobodys, b"Job-1_a.b"], 1))
    assert await records.unconfirmed(0) == ["Job-1_a.b"]
    assert await redis_client.zcard(UNCONFIRMED_KEY) == 1


async def test_each_owner_has_keys_of_its_own(records: CreationRecords) -> None:
    for number, owner in enumerate(("user:u1", "user:u2", "session:u1")):
        claim = Claim(f"j{number}", "digest")
        assert await records.claim(owner, "k1", claim) == claim


async def test_of_many_calls_at_once_all_get_one_job(records: CreationRecords) -> None:
    claims = await asyncio.gather(
        *(records.claim("user:u1", "k1", Claim(f"j{n}", "digest")) for n in range(50))
    )
    assert len({claim.job_id for claim in claims}) == 1


async def test_of_many_different_calls_at_once_one_wins(records: CreationRecords) -> None:
    answers = await asyncio.gather(
        *(records.claim("user:u1", "k1", Claim(f"j{n}", f"digest-{n % 5}")) for n in range(50)),
        return_exceptions=True,
    )
    claims = [answer for answer in answers if isinstance(answer, Claim)]
    assert len(claims) == 10
    assert len(set(claims)) == 1
    assert sum(isinstance(answer, IdempotencyConflict) for answer in answers) == 40


async def test_a_key_is_kept_for_a_day(records: CreationRecords, redis_client: Redis) -> None:
    await records.claim("user:u1", "k1", Claim("j1", "digest"))
    assert 23 * 3600 < await redis_client.ttl(idempotency_key("user:u1", "k1")) <= 24 * 3600


async def test_a_key_that_ran_out_between_two_looks_is_fresh(
    records: CreationRecords, redis_client: Redis, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await records.claim("user:u1", "k1", Claim("j1", "digest"))
    call = caller.call

    async def run_out(key: str, *command: str | bytes) -> Reply:
        if command[0] == "GET":
            await redis_client.delete(key)
            monkeypatch.setattr(caller, "call", call)
        return await call(key, *command)

    monkeypatch.setattr(caller, "call", run_out)
    assert await records.claim("user:u1", "k1", Claim("j2", "digest")) == Claim("j2", "digest")


async def test_a_repeat_learns_that_the_job_was_queued(
    records: CreationRecords, redis_client: Redis
) -> None:
    name = idempotency_key("user:u1", "k1")
    claim = await records.claim("user:u1", "k1", Claim("j1", "digest"))
    await redis_client.expire(name, 100)
    await records.fulfil("user:u1", "k1", claim)
    again = await records.claim("user:u1", "k1", Claim("j2", "digest"))
    assert again == Claim("j1", "digest", queued=True)
    assert await redis_client.ttl(name) <= 100


async def test_what_ran_out_is_not_brought_back(
    records: CreationRecords, redis_client: Redis
) -> None:
    await records.fulfil("user:u1", "k1", Claim("j1", "digest"))
    assert await redis_client.exists(idempotency_key("user:u1", "k1")) == 0


async def test_a_job_is_unconfirmed_until_it_is_confirmed(records: CreationRecords) -> None:
    for job_id in ("j1", "j2", "j3"):
        await records.begin(job_id)
    await records.confirm("j2")
    assert await records.unconfirmed(0) == ["j1", "j3"]


async def test_only_what_has_waited_for_long_is_returned(
    records: CreationRecords, redis_client: Redis
) -> None:
    await records.begin("new")
    await redis_client.zadd(UNCONFIRMED_KEY, {"old": time.time() - 60, "older": time.time() - 90})
    assert await records.unconfirmed(30) == ["older", "old"]


async def test_beginning_again_begins_the_wait_anew(
    records: CreationRecords, redis_client: Redis
) -> None:
    await redis_client.zadd(UNCONFIRMED_KEY, {"j1": time.time() - 60})
    await records.begin("j1")
    assert await records.unconfirmed(30) == []


async def test_confirming_twice_or_what_was_never_begun_is_no_mistake(
    records: CreationRecords,
) -> None:
    await records.confirm("j1")
    await records.begin("j1")
    await records.confirm("j1")
    await records.confirm("j1")
    assert await records.unconfirmed(0) == []


@pytest.mark.parametrize("ahead_s", [-3600, 3600])
async def test_the_clock_of_a_process_does_not_matter(
    records: CreationRecords, monkeypatch: pytest.MonkeyPatch, ahead_s: int
) -> None:
    now = time.time()
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("time.time", lambda: now + ahead_s)
        await records.begin("j1")
        assert await records.unconfirmed(30) == []
    assert await records.unconfirmed(30) == []
    assert await records.unconfirmed(0) == ["j1"]
