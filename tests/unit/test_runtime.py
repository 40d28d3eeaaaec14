import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, cast

import pykka
import pytest
from pykka import ActorDeadError, ActorRegistry

from actors.runtime import LoopActor, LoopInbox
from tests.support.waiting import eventually


class Behaviour(pykka.Actor):
    """What is tried on Pykka's own threads as well as on the event loop."""

    def __init__(self, trace: list[Any], failing: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.trace = trace
        self.failing = failing
        self.answer = 42

    def on_start(self) -> None:
        self._do("start")

    def on_stop(self) -> None:
        self._do("stop")

    def on_failure(self, kind: object, error: object, trace: object) -> None:
        assert trace is not None
        self.trace.append((kind, str(error)))
        self._do("failure")

    def on_receive(self, message: Any) -> Any:  # noqa: ANN401
        if isinstance(message, BaseException):
            raise message
        self._do(message)
        return f"{message}!"

    def double(self, number: int) -> int:
        return 2 * number

    def refuse(self) -> None:
        raise LookupError("as told")

    def _do(self, what: str) -> None:
        self.trace.append(what)
        if what in self.failing:
            raise ValueError(what)


@pytest.fixture(params=[pykka.ThreadingActor, LoopActor], ids=["thread", "loop"])
def kind(request: pytest.FixtureRequest) -> type[Behaviour]:
    return cast("type[Behaviour]", type("Tried", (Behaviour, request.param), {}))


class Looped(Behaviour, LoopActor):
    """The behaviour on the event loop alone."""


@pytest.fixture(autouse=True)
async def all_stopped() -> AsyncIterator[None]:
    yield
    await asyncio.to_thread(ActorRegistry.stop_all)
    assert ActorRegistry.get_all() == []


def start(kind: type[Behaviour], *failing: str) -> tuple[pykka.ActorRef[Any], list[Any]]:
    trace: list[Any] = []
    return kind.start(trace, failing), trace


def inbox_of(ref: pykka.ActorRef[Any]) -> LoopInbox:
    """Return the inbox of an actor on the event loop."""
    return cast("LoopInbox", ref.actor_inbox)


async def ask(ref: pykka.ActorRef[Any], message: object) -> object:
    """Ask from another thread, and wait there."""
    return await asyncio.to_thread(ref.ask, message)


async def stopped(ref: pykka.ActorRef[Any]) -> None:
    async def holds() -> bool:
        return not ref.is_alive()

    await eventually(holds)


async def test_an_actor_starts_handles_messages_in_order_and_stops(kind: type[Behaviour]) -> None:
    ref, trace = start(kind)
    assert ref.is_alive()
    for number in range(300):
        ref.tell(str(number))
    assert await asyncio.to_thread(ref.stop) is True
    assert trace == ["start", *map(str, range(300)), "stop"]
    assert not ref.is_alive()
    assert await asyncio.to_thread(ref.stop) is False


async def test_ask_gives_the_answer(kind: type[Behaviour]) -> None:
    ref, _ = start(kind)
    assert await ask(ref, "x") == "x!"


async def test_an_exception_goes_to_the_one_who_asked_and_the_actor_lives_on(
    kind: type[Behaviour],
) -> None:
    ref, trace = start(kind)
    error = KeyError("as asked")
    with pytest.raises(KeyError, match="as asked") as raised:
        await ask(ref, error)
    assert raised.value is error
    assert await ask(ref, "x") == "x!"
    assert trace == ["start", "x"]


async def test_an_exception_that_nobody_asked_for_ends_the_actor(
    kind: type[Behaviour], caplog: pytest.LogCaptureFixture
) -> None:
    ref, trace = start(kind)
    with caplog.at_level(logging.ERROR, "pykka"):
        ref.tell(KeyError("as told"))
        await stopped(ref)
    await eventually_traced(trace, "failure")
    assert trace == ["start", (KeyError, "'as told'"), "failure"]
    assert ref not in ActorRegistry.get_all()
    assert "Unhandled exception" in caplog.text


async def eventually_traced(trace: list[Any], what: object) -> None:
    async def holds() -> bool:
        return what in trace

    await eventually(holds)


async def test_a_start_that_fails_ends_the_actor(kind: type[Behaviour]) -> None:
    ref, trace = start(kind, "start")
    await stopped(ref)
    with pytest.raises(ActorDeadError):
        await ask(ref, "x")
    assert trace == ["start"]


async def test_a_failure_hook_that_fails_harms_nobody(kind: type[Behaviour]) -> None:
    ref, trace = start(kind, "x", "failure")
    other, _ = start(kind)
    ref.tell("x")
    await stopped(ref)
    await eventually_traced(trace, "failure")
    assert await ask(other, "y") == "y!"


async def test_a_stop_hook_that_fails_still_stops(kind: type[Behaviour]) -> None:
    ref, trace = start(kind, "stop")
    assert await asyncio.to_thread(ref.stop) is True
    assert trace == ["start", "stop"]
    assert not ref.is_alive()


async def test_an_actor_stops_itself_after_what_came_before(kind: type[Behaviour]) -> None:
    ref, trace = start(kind)
    proxy = ref.proxy()
    ref.tell("before")
    proxy.stop.defer()
    await stopped(ref)
    assert trace == ["start", "before", "stop"]


async def test_what_comes_after_the_stop_is_refused(kind: type[Behaviour]) -> None:
    ref, _ = start(kind)
    await asyncio.to_thread(ref.stop)
    with pytest.raises(ActorDeadError):
        ref.tell("late")
    with pytest.raises(ActorDeadError):
        await ask(ref, "late")
    with pytest.raises(ActorDeadError):
        ref.proxy()


async def test_what_is_left_in_the_inbox_is_answered_with_an_error(
    kind: type[Behaviour],
) -> None:
    ref, trace = start(kind)
    ref.tell("x")
    stop = ref.stop(block=False)
    late = ref.ask("late", block=False)
    again = ref.stop(block=False)
    assert await asyncio.to_thread(stop.get) is True
    with pytest.raises(ActorDeadError):
        await asyncio.to_thread(late.get)
    await asyncio.to_thread(again.get)
    assert "late" not in trace


async def test_a_proxy_reads_sets_and_calls(kind: type[Behaviour]) -> None:
    proxy: Any = start(kind)[0].proxy()
    assert await asyncio.to_thread(proxy.answer.get) == 42
    await asyncio.to_thread(setattr, proxy, "answer", 43)
    assert await asyncio.to_thread(proxy.answer.get) == 43
    assert await asyncio.to_thread(proxy.double(21).get) == 42
    with pytest.raises(LookupError, match="as told"):
        await asyncio.to_thread(proxy.refuse().get)


async def test_the_registry_knows_living_actors_only(kind: type[Behaviour]) -> None:
    ref, _ = start(kind)
    assert ActorRegistry.get_by_urn(ref.actor_urn) is ref
    assert ActorRegistry.get_by_class(kind) == [ref]
    assert ActorRegistry.get_by_class_name("Tried") == [ref]
    await asyncio.to_thread(ref.stop)
    assert ActorRegistry.get_by_urn(ref.actor_urn) is None


async def test_a_broadcast_reaches_all_of_a_class(kind: type[Behaviour]) -> None:
    actors = [start(kind) for _ in range(5)]
    ActorRegistry.broadcast("hello", target_class=kind)
    assert await asyncio.to_thread(ActorRegistry.stop_all) == [True] * 5
    assert [trace for _, trace in actors] == [["start", "hello", "stop"]] * 5


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()])
@pytest.mark.parametrize("send", [LoopInbox.tell, LoopInbox.hand])
async def test_what_is_no_mere_exception_stops_the_actor_and_goes_on(
    error: BaseException, send: Callable[[LoopInbox, object], None]
) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    ref, trace = start(Looped)
    with suppress(type(error)):
        send(inbox_of(ref), error)
    await stopped(ref)
    assert trace == ["start", "stop"]


async def test_an_asker_is_told_of_what_is_no_mere_exception() -> None:
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    ref, _ = start(Looped)
    with pytest.raises(GeneratorExit):
        await ask(ref, GeneratorExit())


async def test_an_interrupt_reaches_the_loop() -> None:
    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(asyncio.run, _interrupted())


async def _interrupted() -> None:
    ref, _ = start(Looped)
    ref.tell(KeyboardInterrupt())
    await asyncio.Event().wait()


async def test_waiting_on_the_loop_is_refused_for_it_would_never_end() -> None:
    ref, trace = start(Looped)
    with pytest.raises(RuntimeError, match="block the event loop"):
        ref.ask("x")
    with pytest.raises(RuntimeError, match="block the event loop"):
        ref.ask("y", timeout=0.1)
    with pytest.raises(RuntimeError, match="block the event loop"):
        ref.stop()
    await stopped(ref)
    assert trace == ["start", "x", "y", "stop"]


async def test_messages_from_many_threads_all_arrive_in_each_threads_order() -> None:
    ref, trace = start(Looped)

    def send(thread: int) -> None:
        for number in range(500):
            ref.tell(f"{thread} {number}")

    await asyncio.gather(*(asyncio.to_thread(send, thread) for thread in range(4)))
    await asyncio.to_thread(ref.stop)
    messages = [tuple(map(int, message.split())) for message in trace[1:-1]]
    assert len(messages) == 2000
    for thread in range(4):
        assert [number for sender, number in messages if sender == thread] == list(range(500))


async def test_messages_are_handled_on_the_thread_of_the_loop() -> None:
    class Where(LoopActor):
        def on_receive(self, _message: object) -> int:
            return threading.get_ident()

    ref = Where.start()
    assert await asyncio.to_thread(ref.ask, "where") == threading.get_ident()


async def test_no_message_is_handled_before_the_sender_is_done() -> None:
    ref, trace = start(Looped)
    ref.tell("x")
    assert trace == ["start"]
    await ask(ref, "y")
    assert trace == ["start", "x", "y"]


async def test_an_actor_that_tells_itself_more_and_more_leaves_others_their_turn() -> None:
    class Restless(LoopActor):
        handled = 0

        def on_receive(self, _message: object) -> None:
            self.handled += 1
            self.actor_ref.tell("again")

    restless = Restless.start()
    restless.tell("go")
    other, _ = start(Looped)
    async with asyncio.timeout(5):
        for _ in range(10):
            assert await ask(other, "x") == "x!"
        assert await asyncio.to_thread(restless.stop)


async def test_a_long_inbox_leaves_others_their_turn() -> None:
    ref, trace = start(Looped)
    for number in range(2000):
        ref.tell(str(number))
    handled_before: list[int] = []

    class Other(LoopActor):
        def on_receive(self, _message: object) -> None:
            handled_before.append(len(trace))

    await ask(Other.start(), "x")
    assert handled_before[0] < 1000


async def test_thousands_of_actors_need_no_task_and_no_thread() -> None:
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()
    actors = [start(Looped) for _ in range(3000)]
    for ref, _ in actors:
        ref.tell("x")
    await eventually_traced(actors[-1][1], "x")
    assert len(asyncio.all_tasks()) == tasks
    assert threading.active_count() == threads
    assert all(trace[:2] == ["start", "x"] for _, trace in actors)
    for ref, _ in actors:
        ref.stop(block=False)
    await stopped(actors[-1][0])
    assert ActorRegistry.get_all() == []


async def test_a_stopped_actor_is_freed_at_once() -> None:
    gc.disable()
    try:
        ref, _ = start(Looped)
        actor = weakref.ref(ref._actor_weakref())
        await ask(ref, "x")
        await asyncio.to_thread(ref.stop)
        assert actor() is None
    finally:
        gc.enable()


async def test_an_actor_that_failed_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is logged is kept by pytest, with the traceback and so with the actor.
    monkeypatch.setattr(logging.getLogger("pykka"), "disabled", True)
    ref, _ = start(Looped)
    actor = weakref.ref(ref._actor_weakref())
    ref.tell(KeyError())
    await stopped(ref)

    async def holds() -> bool:
        gc.collect()
        return actor() is None

    await eventually(holds)


async def test_messages_that_come_too_late_are_learnt_of() -> None:
    late: list[object] = []

    class Learning(LoopActor):
        def on_discard(self, message: object) -> None:
            late.append(message)

    ref = Learning.start()
    ref.tell("in time")
    ref.stop(block=False)
    ref.tell("late")
    ref.tell("later")
    await stopped(ref)
    assert late == ["late", "later"]


def test_an_actor_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        start(Looped)
    assert ActorRegistry.get_all() == []


async def test_what_is_handed_over_is_handled_at_once_unless_something_waits() -> None:
    trace: list[Any] = []
    ref = Looped.start(trace)
    inbox_of(ref).hand("first")
    assert trace == ["start", "first"]
    ref.tell("second")
    inbox_of(ref).hand("third")
    assert trace == ["start", "first"]
    await asyncio.to_thread(ref.stop)
    inbox_of(ref).hand("too late")
    assert trace == ["start", "first", "second", "third", "stop"]


async def test_what_is_handed_to_an_actor_that_can_not_start_is_discarded() -> None:
    trace: list[Any] = []

    class Discarding(Looped):
        def on_discard(self, message: object) -> None:
            trace.append(("discarded", message))

    ref = Discarding.start(trace, ("start",))
    inbox_of(ref).hand("message")
    await eventually_traced(trace, ("discarded", "message"))
    assert not ref.is_alive()


async def test_a_failure_over_what_was_handed_ends_the_actor() -> None:
    trace: list[Any] = []
    ref = Looped.start(trace)
    inbox_of(ref).hand(LookupError("no"))
    assert not ref.is_alive()
    assert trace == ["start", (LookupError, "no"), "failure"]


def test_an_actor_has_what_pykkas_own_have(kind: type[Behaviour]) -> None:
    made = kind([])
    threaded = type("Threaded", (Behaviour, pykka.ThreadingActor), {})([])
    assert all(hasattr(made, name) for name in vars(threaded))
    assert made.actor_ref is made.actor_ref
    assert kind([]).actor_urn != made.actor_urn
