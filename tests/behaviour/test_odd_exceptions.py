"""A job fails whatever class its exception is of, and the exception goes on as it is."""

from collections.abc import Callable

import pytest

import jobcast
from jobcast import InvalidEvent, Run
from tests.support.odd_errors import (
    ODD,
    Fickle,
    Noteless,
    OddDict,
    OddMapping,
    OddText,
    Unprintable,
)
from tests.support.stores import Store
from tests.support.valkey import Valkey


async def goes_on(run: Run, error: BaseException, before: Callable[[], object] = bool) -> bool:
    """Raise the exception at the end of the run's block; say whether it is what leaves the block.

    The exception stays here, and is no argument of a test: pytest can't print it either.
    """

    async def block() -> None:
        async with run:
            before()
            raise error

    try:
        await block()
    except BaseException as left:  # noqa: BLE001 - any of them would be a finding
        return left is error
    return False


@pytest.mark.parametrize("name", ODD)
async def test_an_exception_of_any_class_fails_the_job_and_goes_on(
    run: Run, store: Store, name: str
) -> None:
    error, message, code = ODD[name]
    assert await goes_on(run, error)
    assert await store.ending() == ("failed", None, message, code)


async def test_a_run_is_failed_with_such_an_exception_by_hand_too(run: Run, store: Store) -> None:
    await run.start()
    await run.fail(Unprintable(AttributeError()))
    assert await store.ending() == ("failed", None, "Unprintable", None)


async def test_an_error_of_a_text_class_of_its_own_is_read_as_text(run: Run, store: Store) -> None:
    await run.start()
    await run.progress(10, OddText("Reading"))
    await run.fail(OddText("No paper"), OddText("E_PAPER"))
    assert await store.ending() == ("failed", None, "No paper", "E_PAPER")


@pytest.mark.parametrize("text", ["x" * 5000, "\x01" * 5000, "🚀" * 5000], ids="x\x01🚀")
async def test_a_text_longer_than_the_job_allows_is_cut_and_the_job_fails(
    store: Store, text: str
) -> None:
    async with store.connect(max_event_bytes=1024, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        error = ValueError(text)
        with pytest.raises(ValueError, match=text[:10]):
            async with jobs.run("j1"):
                raise error
    assert await store.ending() == ("failed", None, text[:64], None)


@pytest.mark.parametrize("code", ["E_PAPER", "E" * 5000], ids=["short", "long"])
async def test_a_code_is_kept_beside_a_text_that_is_cut_unless_it_is_long(
    store: Store, code: str
) -> None:
    async with store.connect(max_event_bytes=1024, progress_per_s=None) as jobs:
        await jobs.create("report", user_id="u1", job_id="j1")
        run = jobs.run("j1")
        await run.start()
        await run.fail(ValueError("x" * 5000), code)
    kept = code if len(code) < 64 else None
    assert await store.ending() == ("failed", None, "x" * 64, kept)


@pytest.mark.parametrize(
    "failure", [AttributeError("no items"), Unprintable(KeyError())], ids=["plain", "odd"]
)
async def test_a_result_that_raises_when_it_is_written_fails_the_job(
    run: Run, store: Store, failure: Exception
) -> None:
    with pytest.raises(InvalidEvent, match="result can't be written as JSON") as caught:
        async with run:
            run.result = {"pages": [OddDict(failure)]}
    assert caught.value.__cause__ is failure
    status, result, error, _ = await store.ending()
    assert (status, result) == ("failed", None)
    assert error
    assert error.startswith("result can't be written as JSON")


async def test_a_result_that_exits_when_it_is_written_fails_the_job(run: Run, store: Store) -> None:
    failure = GeneratorExit("gone")
    with pytest.raises(GeneratorExit) as caught:
        async with run:
            run.result = OddDict(failure)
    assert caught.value is failure
    assert await store.ending() == ("failed", None, "gone", None)


async def test_a_result_is_read_once_so_that_viewers_and_the_state_agree(
    run: Run, store: Store
) -> None:
    async with run:
        run.result = Fickle()
    _, fields = (await store.log())[-1]
    assert fields["data"] == '{"result":[1]}'
    assert (await store.state())["result"] == "[1]"


@pytest.mark.parametrize(
    "failure", [KeyError("a"), Unprintable(KeyError())], ids=["KeyError", "odd"]
)
async def test_data_that_raise_when_they_are_read_are_refused_and_leave_no_trace(
    run: Run, store: Store, failure: Exception
) -> None:
    await run.start()
    log = await store.log()
    with pytest.raises(InvalidEvent, match="data can't be read") as caught:
        await run.emit("note", OddMapping(failure))
    assert caught.value.__cause__ is failure
    with pytest.raises(InvalidEvent, match="further fields can't be written"):
        await run.progress(10, detail=OddDict(failure))
    assert await store.log() == log
    await run.complete()


async def test_an_exception_goes_on_whatever_keeps_its_job_from_being_failed(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no event loop")

    error = ValueError("No paper")
    assert await goes_on(
        run, error, lambda: monkeypatch.setattr(run._sender._connection, "append", broken)
    )
    assert error.__notes__ == ["The job could not be failed: no event loop"]


async def test_an_exception_that_takes_no_note_goes_on_when_redis_is_away() -> None:
    with Valkey() as own:
        async with jobcast.connect(own.url, block_s=2, progress_per_s=None) as jobs:
            run = jobs.run(await jobs.create("report", user_id="u1"))
            assert await goes_on(run, Noteless("No paper"), own.kill)
