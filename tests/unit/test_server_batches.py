"""Questions in batches, and what becomes of one that goes wrong."""

import asyncio
import logging
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from eventlog.batch_reader import BatchReader
from eventlog.errors import LogUnavailable, UnreadableJob
from eventlog.question import Question
from eventlog.server_batches import ServerBatches
from jobcast.protocol.names import PLAIN
from jobcast.redis.connection import Replies
from jobcast.redis.server import Server
from tests.support.channel_server import ChannelServer
from tests.support.waiting import until

ODD = "j7"


async def test_one_question_that_fails_in_a_way_not_foreseen_leaves_the_others_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(_server: Server, _commands: bytes, count: int) -> Replies:
        return ["1-0"] * count

    ordinary = Question.answer

    def answer(question: Question, replies: Replies) -> object:
        if question.job_id == ODD:
            raise KeyError("something new")
        return ordinary(question, replies)

    monkeypatch.setattr(Server, "ask", ask)
    monkeypatch.setattr(Question, "answer", answer)
    batches = ServerBatches(Server(ChannelServer(PLAIN).connect))
    answers: dict[str, object] = {}
    for number in range(20):
        job_id = f"j{number}"
        question = Question(job_id, "1-0", only_mark=True)
        batches.add(question, partial(answers.__setitem__, job_id))
    await until(lambda: len(answers) == 20)
    assert isinstance(answers.pop(ODD), UnreadableJob)
    assert set(answers.values()) == {"1-0"}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    await batches.close()


async def test_all_who_find_a_server_unavailable_begin_to_look_for_another() -> None:
    looks = 0
    tasks: list[int] = []
    gone = ChannelServer(PLAIN)
    gone.away = True
    server = Server(gone.connect)

    def refresh_soon() -> None:
        nonlocal looks
        looks += 1

    servers = SimpleNamespace(
        known=lambda _name: server,
        serving=lambda: [server],
        refresh_soon=refresh_soon,
        is_cluster=True,
    )
    batches = BatchReader(cast("Any", SimpleNamespace(servers=servers)))

    def reply(answer: object) -> None:
        assert isinstance(answer, LogUnavailable)
        tasks.append(len(asyncio.all_tasks()))

    for number in range(200):
        batches.ask(Question(f"j{number}", None), reply)
    await until(lambda: len(tasks) == 200)
    assert looks == 200
    assert len(gone.connects) == 1
    assert max(tasks) < 10
    await batches.close()
