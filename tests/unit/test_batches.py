"""Questions in batches, and what becomes of one that goes wrong."""

import logging
from functools import partial

import pytest

from eventlog.batches import Batches
from eventlog.catch_up import Question
from eventlog.errors import LogUnavailable
from eventlog.inquiry import Inquiry
from eventlog.raw_connection import Replies
from schema.wire import PLAIN
from tests.channel_server import ChannelServer
from tests.waiting import until

ODD = "j7"


async def test_one_question_that_fails_in_a_way_not_foreseen_leaves_the_others_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(_inquiry: Inquiry, _commands: bytes, count: int) -> Replies:
        return ["1-0"] * count

    ordinary = Question.answer

    def answer(question: Question, replies: Replies) -> object:
        if question.job_id == ODD:
            raise KeyError("something new")
        return ordinary(question, replies)

    monkeypatch.setattr(Inquiry, "ask", ask)
    monkeypatch.setattr(Question, "answer", answer)
    batches = Batches(ChannelServer(PLAIN).connector)
    answers: dict[str, object] = {}
    for number in range(20):
        job_id = f"j{number}"
        question = Question(job_id, "1-0", only_last=True)
        batches.ask(question, partial(answers.__setitem__, job_id))
    await until(lambda: len(answers) == 20)
    assert isinstance(answers.pop(ODD), LogUnavailable)
    assert set(answers.values()) == {"1-0"}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    await batches.close()
