"""What thousands bring at once is spread over turns of the event loop.

Each number here is how much may be done in one turn, whatever a machine takes for it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from actors.audience import Audience
from actors.mailbox import Ending, Mailbox
from app.settings import Settings
from app.streaming.viewer import Viewer
from app.streaming.viewers import Viewers
from eventlog.catch_up import SLICE_BYTES, CatchUp
from eventlog.channel import Published, Subscribed
from eventlog.pace import Arrivals, Deliveries
from eventlog.question import Question
from eventlog.server_batches import ServerBatches
from eventlog.subscriber_connection import SubscriberConnection
from jobcast.protocol.names import PLAIN
from jobcast.redis.connection import Replies
from jobcast.redis.server import Server
from schema.entry import entry_from_log
from schema.sse import Frame, encode
from schema.state import STATE_FIELDS
from tests.support.channel_server import ChannelServer, Recorder, running
from tests.support.clock import in_virtual_time
from tests.support.job_world import JobLog, Scene
from tests.support.loop_turns import LoopTurns
from tests.support.viewing import Visit
from tests.support.waiting import after, until

MANY = 5000
PART = 32


class Crowd:
    """Mailboxes of viewers who take everything at once, and note what."""

    def __init__(self, audience: Audience, count: int) -> None:
        self.rounds = LoopTurns()
        self.ended = 0
        self.got: list[list[str | None]] = [[] for _ in range(count)]
        for number in range(count):
            audience.admit(Mailbox(1 << 20, self._offer(number), self._end))

    def _offer(self, number: int) -> Any:  # noqa: ANN401 - a function
        def offer(frame: Frame) -> bool:
            self.rounds.note()
            self.got[number].append(frame.id)
            return True

        return offer

    def _end(self) -> None:
        self.ended += 1


def frame(number: int, size: int = 100) -> Frame:
    return encode("note", b'"%b"' % (b"x" * size), f"{number}-0")


async def test_an_event_of_many_viewers_is_delivered_part_by_part() -> None:
    audience = Audience()
    crowd = Crowd(audience, MANY)
    audience.broadcast(frame(1))
    await until(lambda: crowd.rounds.total == MANY)
    assert crowd.rounds.most <= Deliveries.most * PART


async def test_a_large_event_is_delivered_to_few_at_a_time() -> None:
    audience = Audience()
    crowd = Crowd(audience, 1000)
    audience.broadcast(frame(1, 1024 * 1024))
    await until(lambda: crowd.rounds.total == 1000)
    assert crowd.rounds.most <= Deliveries.most


async def test_each_viewer_gets_events_in_order_and_the_end_after_them() -> None:
    audience = Audience()
    crowd = Crowd(audience, MANY)
    audience.broadcast(frame(1))
    audience.broadcast(frame(2))
    late = Crowd(audience, 1)
    audience.broadcast(frame(3, 1024 * 1024))
    audience.broadcast(frame(4))
    audience.dismiss()
    assert crowd.ended == 0
    await until(lambda: crowd.ended == MANY)
    assert {tuple(got) for got in crowd.got} == {("1-0", "2-0", "3-0", "4-0")}
    assert late.got == [["3-0", "4-0"]]
    assert late.ended == 1
    audience.broadcast(frame(5))


async def test_who_comes_while_an_event_is_delivered_does_not_get_it_twice() -> None:
    log = JobLog()
    scene = Scene(log, log.state)
    await scene.live()
    watchers = [await scene.watch() for _ in range(3 * Deliveries.most)]
    for _ in range(Deliveries.most):
        Deliveries.here().do(lambda: None)  # no more in this turn
    await scene.publish(log.start())
    late = await scene.watch()
    await scene.publish(log.progress(10))
    await until(lambda: watchers[-1].ids[-1] == log.last)
    assert [event.data["progress"] for event in late.events] == [0, 10]
    assert {tuple(watcher.ids[1:]) for watcher in watchers} == {("2-0", "3-0")}


class Noting(Recorder):
    """A subscriber that notes when it receives something."""

    def __init__(self, rounds: LoopTurns) -> None:
        super().__init__()
        self.rounds = rounds

    def hand(self, message: Published | Subscribed) -> None:
        self.rounds.note()
        super().hand(message)


def test_what_one_read_brings_for_many_jobs_is_handed_on_a_few_at_a_time() -> None:
    async def scenario() -> None:
        rounds = LoopTurns()
        server = ChannelServer(PLAIN)
        connection = SubscriberConnection(server.connect, PLAIN, cast("Any", None))
        recorders = [Noting(rounds) for _ in range(MANY)]
        for number, recorder in enumerate(recorders):
            connection.follow(b"c%d" % number, recorder)
        async with running(connection):
            await until(lambda: rounds.total == MANY)
            assert rounds.most <= 2 * Deliveries.most
            assert all(recorder.messages == [Subscribed()] for recorder in recorders)
            pushes = [[b"message", b"c%d" % number, b"first"] for number in range(MANY)]
            server.push(*pushes)
            server.push([b"message", b"c%d" % (MANY - 1), b"second"])
            await until(lambda: rounds.total == 2 * MANY + 1)
            assert rounds.most <= 2 * Deliveries.most
            assert recorders[-1].messages[1:] == [Published([b"first"]), Published([b"second"])]

    in_virtual_time(scenario())


class Busy(Recorder):
    """A subscriber that has much to deliver of all that it receives."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[int] = []
        self._deliveries = 0

    def hand(self, message: Published | Subscribed) -> None:
        super().hand(message)
        self.left.append(self._deliveries)
        for _ in range(10 * Deliveries.most):
            self._deliveries += 1
            Deliveries.here().do(self._deliver)

    def _deliver(self) -> None:
        self._deliveries -= 1


def test_nothing_is_read_before_what_was_read_is_delivered() -> None:
    async def scenario() -> None:
        server, recorder = ChannelServer(PLAIN), Busy()
        connection = SubscriberConnection(server.connect, PLAIN, cast("Any", None))
        connection.follow(b"c", recorder)
        async with running(connection):
            await until(lambda: bool(recorder.messages))
            for number in range(20):
                server.push([b"message", b"c", b"%d" % number])
            await until(lambda: len(recorder.messages) == 21)
            assert recorder.left == [0] * 21
        assert not server.paused

    in_virtual_time(scenario())


def test_a_publication_never_overtakes_that_its_channel_is_followed() -> None:
    async def scenario() -> None:
        server, recorder = ChannelServer(PLAIN), Recorder()
        connection = SubscriberConnection(server.connect, PLAIN, cast("Any", None))
        async with running(connection):
            await after(1)
            connection.follow(b"c", recorder)
            connection._send()
            for _ in range(Deliveries.most):
                Deliveries.here().do(lambda: None)
            connection._deliver([[b"subscribe", b"c", 1], [b"message", b"c", b"first"]])
            await until(lambda: len(recorder.messages) > 1)
            assert recorder.messages[:2] == [Subscribed(), Published([b"first"])]

    in_virtual_time(scenario())


def test_a_connection_that_has_much_to_deliver_is_not_mute() -> None:
    async def scenario() -> None:
        server, recorder = ChannelServer(PLAIN), Recorder()
        connection = SubscriberConnection(server.connect, PLAIN, cast("Any", None))
        connection.follow(b"c", recorder)
        async with running(connection):
            await after(1)
            raw = connection._connection
            assert raw is not None
            raw.pause()
            await after(4)  # no answer to a PING is read
            assert connection.connected
            raw.resume()
            await after(4)
            assert connection._connection is raw

    in_virtual_time(scenario())


@pytest.mark.parametrize("away", [False, True])
async def test_the_answers_of_a_batch_are_handed_on_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch, *, away: bool
) -> None:
    async def ask(_server: Server, _commands: bytes, count: int) -> Replies:
        if away:
            raise OSError
        return ["1-0"] * count

    monkeypatch.setattr(Server, "ask", ask)
    batches, rounds = ServerBatches(Server(ChannelServer(PLAIN).connect)), LoopTurns()
    for number in range(1000):
        batches.add(Question(f"j{number}", "1-0", only_mark=True), rounds.note)
    await until(lambda: rounds.total == 1000)
    assert rounds.most <= 2 * 10
    await batches.close()


def large_log(entries: int, size: int) -> list[Any]:
    data = '{"text":"%s"}' % ("x" * size)
    return [[f"{number}-0", ["event", "note", "data", data]] for number in range(1, entries + 1)]


async def test_a_large_part_of_a_log_is_read_a_little_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds = LoopTurns()

    def read(*given: Any) -> object:  # noqa: ANN401 - as entry_from_log
        rounds.note()
        return entry_from_log(*given)

    monkeypatch.setattr("eventlog.catch_up.entry_from_log", read)
    log = large_log(40, SLICE_BYTES)
    known = {"status": "running", "last": "40-0", "attempt": "1", "attemptId": "1-0"}
    known |= {"created": "1-0", "type": "report", "progress": "0"}
    state = [known.get(name) for name in STATE_FIELDS]
    answer = await Question("j1", "1-0").answer([state, log])
    assert [entry.id for entry in answer.missed] == [f"{number}-0" for number in range(2, 41)]
    assert rounds.most == 1


async def test_what_an_actor_missed_of_a_large_log_is_delivered_a_little_at_a_time() -> None:
    log = JobLog()
    scene = Scene(log)
    watcher = await scene.live()
    await scene.publish(log.start())
    for number in range(10):
        log.append("note", {"number": number, "text": "x" * SLICE_BYTES})
    log.append("complete", {"result": None})
    await scene.subscribed()
    question = log.questions.pop()
    turns = 0
    question.given(log.read(question.cursor))
    while watcher.ending is None:
        before = len(watcher.events)
        await asyncio.sleep(0)
        turns += 1
        assert len(watcher.events) - before <= 2
    assert watcher.names[2:] == ["note"] * 10 + ["complete"]
    assert turns >= 10


def test_an_answer_is_split_by_its_size() -> None:
    entries = tuple(
        entry_from_log(entry_id, dict(zip(pairs[::2], pairs[1::2], strict=True)))
        for entry_id, pairs in large_log(5, SLICE_BYTES // 2)
    )
    whole = CatchUp(JobLog().state, entries, more=True)
    parts: list[Sequence[str | None]] = []
    rest: CatchUp | None = whole
    while rest is not None:
        assert (rest.state, rest.more) == (whole.state, True)
        part, rest = rest.split()
        parts.append([entry.id for entry in part.missed or ()])
    assert parts == [["1-0", "2-0"], ["3-0", "4-0"], ["5-0"]]
    assert CatchUp(None).split() == (CatchUp(None), None)


def test_keepalives_that_are_due_in_one_second_are_sent_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        rounds, viewers = LoopTurns(), Viewers(Settings(keepalive_s=5))
        keep_alive = Viewer.keep_alive

        def noted(viewer: Viewer, silent_since: float) -> None:
            rounds.note()
            keep_alive(viewer, silent_since)

        monkeypatch.setattr(Viewer, "keep_alive", noted)
        visits = [Visit() for _ in range(1000)]
        clock = asyncio.create_task(viewers.keep_alive())
        for visit in visits:
            visit.begin(viewers)
        await after(6.5)
        assert rounds.total == len(visits)
        assert rounds.most <= 25
        assert all(visit.sent for visit in visits)
        for visit in visits:
            visit.leave()
        for visit in visits:
            await visit.ended()
        clock.cancel()
        await asyncio.wait({clock})

    in_virtual_time(scenario(), 1000.25)


def test_viewers_whose_time_is_over_at_once_are_ended_a_few_at_a_time() -> None:
    async def scenario() -> None:
        rounds, viewers = LoopTurns(), Viewers(Settings())
        remove = viewers.remove

        def noted(viewer: Viewer) -> None:
            rounds.note()
            remove(viewer)

        viewers.remove = noted  # type: ignore[method-assign]
        visits = [Visit(lifetime_s=30) for _ in range(1000)]
        for visit in visits:
            visit.begin(viewers)
        await after(29)
        assert len(viewers) == len(visits)
        for visit in visits:
            assert await visit.ended() < 1031
            assert visit.retries
        assert rounds.most <= 2 * Arrivals.most

    in_virtual_time(scenario())


def test_so_are_those_whose_job_has_ended() -> None:
    async def scenario() -> None:
        rounds, audience = LoopTurns(), Audience()
        visits = [Visit() for _ in range(1000)]
        for visit in visits:
            visit.begin()
        await until(lambda: all(visit.watching for visit in visits))
        for visit in visits:
            audience.admit(visit.mailbox)
        ended = 0

        async def end(visit: Visit) -> None:
            nonlocal ended
            await visit.ended()
            rounds.note()
            ended += 1

        tasks = [asyncio.create_task(end(visit)) for visit in visits]
        audience.dismiss()
        await asyncio.wait(tasks)
        assert ended == len(visits)
        assert all(visit.viewer.mailbox is None and not visit.retries for visit in visits)
        assert rounds.most <= 2 * Arrivals.most

    in_virtual_time(scenario())


def test_a_viewer_that_ends_before_its_turn_to_be_woken_is_not_woken() -> None:
    async def scenario() -> None:
        visit = Visit()
        visit.begin()
        await until(lambda: visit.watching)
        for _ in range(2 * Arrivals.most):
            Arrivals.here().do(lambda: None)
        visit.mailbox.end(Ending.RETRY)
        visit.leave()
        await visit.ended()
        await after(1)

    in_virtual_time(scenario())
