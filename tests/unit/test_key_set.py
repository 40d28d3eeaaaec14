"""A key set that is published elsewhere: when it is fetched, and what counts while it is away."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from app.auth.key_set import COOL_DOWN_S, REFRESH_S, WAIT_S, KeySet
from app.auth.keys import Keys, read_key_set
from app.errors import ServiceUnavailable
from tests.support.clock import in_virtual_time
from tests.support.keys import PAIRS, key_set, new_pair

ALGORITHMS = frozenset({"ES256"})


def some_keys() -> Keys:
    return read_key_set(key_set(new_pair("ES256")).encode(), ALGORITHMS)


class Issuer:
    """Publishes keys, or an error, after some time."""

    def __init__(self) -> None:
        self.published: Keys | Exception = some_keys()
        self.takes_s = 0.1
        self.fetches = 0

    async def fetch(self) -> Keys:
        self.fetches += 1
        await asyncio.sleep(self.takes_s)
        if isinstance(self.published, Exception):
            raise self.published
        return self.published


class Scene:
    def __init__(self) -> None:
        self.issuer = Issuer()
        self.set = KeySet("issuer", self.issuer.fetch)

    async def told(self) -> bool | None:
        """Return what an unknown key is answered; None if that can't be told."""
        try:
            return await self.set.refresh()
        except ServiceUnavailable:
            return None


def play(scenario: Coroutine[Any, Any, None]) -> None:
    in_virtual_time(scenario)


def time() -> float:
    return asyncio.get_running_loop().time()


def test_the_set_is_fetched_ahead_of_need_and_again_every_five_minutes() -> None:
    async def scenario() -> None:
        scene = Scene()
        running = asyncio.create_task(scene.set.run())
        await asyncio.sleep(1)
        assert scene.set.keys is scene.issuer.published
        scene.issuer.published = some_keys()
        await asyncio.sleep(REFRESH_S)
        assert scene.set.keys is scene.issuer.published
        assert scene.issuer.fetches == 2
        await asyncio.sleep(9.5 * REFRESH_S)
        assert 11 <= scene.issuer.fetches <= 13
        running.cancel()

    play(scenario())


def test_the_same_document_stays_the_same_keys() -> None:
    async def scenario() -> None:
        scene = Scene()
        document = key_set(PAIRS["ES256"]).encode()
        scene.issuer.published = read_key_set(document, ALGORITHMS)
        assert await scene.told() is True
        first = scene.set.keys
        scene.issuer.published = read_key_set(document, ALGORITHMS)
        await asyncio.sleep(COOL_DOWN_S)
        assert await scene.told() is True
        assert scene.set.keys is first

    play(scenario())


def test_the_last_good_set_stays_however_long_no_newer_one_can_be_had() -> None:
    async def scenario() -> None:
        scene = Scene()
        running = asyncio.create_task(scene.set.run())
        await asyncio.sleep(1)
        good, scene.issuer.published = scene.set.keys, OSError("away")
        await asyncio.sleep(6 * 3600)
        assert (scene.set.keys, scene.set.available) == (good, False)
        newer = scene.issuer.published = some_keys()
        await asyncio.sleep(6)
        assert (scene.set.keys, scene.set.available) == (newer, True)
        running.cancel()

    play(scenario())


def test_all_who_wait_share_one_fetch() -> None:
    async def scenario() -> None:
        scene = Scene()
        assert await asyncio.gather(*(scene.told() for _ in range(1000))) == [True] * 1000
        assert scene.issuer.fetches == 1

    play(scenario())


def test_unknown_keys_cause_a_fetch_now_and_then_and_no_flood() -> None:
    async def scenario() -> None:
        scene = Scene()
        running = asyncio.create_task(scene.set.run())
        await asyncio.sleep(1)
        assert await scene.told() is True  # a key that was made just after the first fetch
        assert scene.issuer.fetches == 2
        for _ in range(100):
            assert await scene.told() is False
        assert scene.issuer.fetches == 2
        await asyncio.sleep(COOL_DOWN_S)
        assert await scene.told() is True
        assert scene.issuer.fetches == 3
        running.cancel()

    play(scenario())


def test_without_an_answer_a_request_waits_no_longer_than_callers_were_promised() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.issuer.takes_s = 1000
        began = time()
        assert await asyncio.gather(*(scene.told() for _ in range(10))) == [None] * 10
        assert time() == pytest.approx(began + WAIT_S)
        assert await scene.told() is None  # at once: the fetch was waited for long enough
        assert time() == pytest.approx(began + WAIT_S)
        assert scene.issuer.fetches == 1

    play(scenario())


def test_a_slow_answer_counts_for_those_who_ask_later() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.issuer.takes_s = 2 * WAIT_S
        assert await scene.told() is None
        await asyncio.sleep(2 * WAIT_S)
        assert scene.set.keys is scene.issuer.published

    play(scenario())


def test_who_stops_waiting_does_not_stop_the_fetch() -> None:
    async def scenario() -> None:
        scene = Scene()
        waiting = asyncio.create_task(scene.told())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        assert await scene.told() is True
        assert scene.issuer.fetches == 1

    play(scenario())


def test_after_a_failure_no_request_makes_a_fetch_of_its_own() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.issuer.published = OSError("away")
        running = asyncio.create_task(scene.set.run())
        await asyncio.sleep(60)
        before, began = scene.issuer.fetches, time()
        for _ in range(500):
            assert await scene.told() is None
            await asyncio.sleep(0.1)
        rate = (scene.issuer.fetches - before) / (time() - began)
        assert 1 / 6 < rate < 1 / 2  # a pause of 2.5 to 5 s between two
        assert scene.issuer.fetches - scene.set.failures in {0, 1}  # one may be under way
        running.cancel()

    play(scenario())


def test_a_request_finds_out_by_itself_that_the_set_is_back() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.issuer.published = OSError("away")
        assert await scene.told() is None
        scene.issuer.published = some_keys()
        assert await scene.told() is None  # too soon after the failure
        assert scene.issuer.fetches == 1
        await asyncio.sleep(1)
        assert await scene.told() is True

    play(scenario())


def test_an_outage_is_a_line_of_the_log_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        scene = Scene()
        running = asyncio.create_task(scene.set.run())
        for error in (OSError("away"), TimeoutError()):
            scene.issuer.published = error
            await asyncio.sleep(2 * REFRESH_S)
            scene.issuer.published = some_keys()
            await asyncio.sleep(60)
        running.cancel()

    play(scenario())
    lines = [record.getMessage() for record in caplog.records]
    away, back = "the key set issuer is unavailable", "the key set issuer is available again"
    assert lines == [
        f"{away} (away): no token of its keys can be verified",
        back,
        f"{away} (TimeoutError): tokens of the known keys are still verified",
        back,
    ]


def test_keys_that_cant_be_used_are_named_once_for_each_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        scene = Scene()
        document = key_set(PAIRS["ES256"]).replace("[", '[{"kty":"new"},', 1).encode()
        scene.issuer.published = read_key_set(document, ALGORITHMS)
        running = asyncio.create_task(scene.set.run())
        await asyncio.sleep(3 * REFRESH_S)
        running.cancel()

    play(scenario())
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("the key set issuer has keys that can't be used: key 1: ")


def test_nothing_goes_on_after_its_end() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.issuer.takes_s = 1000
        running = asyncio.create_task(scene.set.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    play(scenario())
