"""Many viewers that want long histories are brought them a few pages in each turn of the loop."""

import asyncio
from typing import Any, cast

from actors.job_actor import JobActor
from actors.mailbox import Ending, Mailbox
from actors.messages import Register
from eventlog.catch_up import PAGE, CatchUp
from eventlog.channel import Subscribed
from eventlog.pace import Pages
from eventlog.questions import Questions
from eventlog.reader import OnRead
from schema.resume import From
from schema.sse import Frame
from schema.state import JobState
from tests.support.job_world import JOB, Feed, JobLog, Registrar
from tests.support.loop_turns import LoopTurns
from tests.support.waiting import until

VIEWERS = 200


class AtOnce:
    """Reads a job, and answers all who ask in a turn at once, as Redis does."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self._asked: list[tuple[str | None, OnRead, int]] = []

    def ask(self, job_id: str, cursor: str | None, answered: OnRead, most: int = PAGE) -> None:
        assert job_id == JOB
        if not self._asked:
            asyncio.get_running_loop().call_later(0.002, self._answer)
        self._asked.append((cursor, answered, most))

    def ask_if_changed(self, _job_id: str, known: JobState, answered: OnRead) -> None:
        answered(CatchUp(known, ()))

    def _answer(self) -> None:
        asked, self._asked = self._asked, []
        answers: dict[tuple[str | None, int], CatchUp] = {}
        for cursor, answered, most in asked:
            if (cursor, most) not in answers:
                answers[cursor, most] = self._log.read(cursor, most)
            answered(answers[cursor, most])


async def test_a_crowd_that_wants_the_whole_attempt_holds_up_nobody() -> None:
    log = JobLog()
    log.start()
    for number in range(300):
        log.append("note", {"n": number})
    log.append("complete", {"result": None})
    questions = Questions(cast("Any", AtOnce(log)), cast("Any", None))
    inbox = JobActor.launch(JOB, Feed(), questions, Registrar()).actor_inbox
    rounds, seen = LoopTurns(), [0] * VIEWERS

    def mailbox(number: int) -> Mailbox:
        def offer(frame: Frame) -> bool:
            rounds.note()
            assert frame.id == f"{seen[number] + 2}-0"
            seen[number] += 1
            return True

        return Mailbox(1 << 18, offer, lambda: None)

    mailboxes = [mailbox(number) for number in range(VIEWERS)]
    for each in mailboxes:
        inbox.tell(Register(each, From.START))
    inbox.tell(Subscribed())
    await until(lambda: all(each.ending is Ending.FINISHED for each in mailboxes))
    assert set(seen) == {302}
    # What was told in a turn is handled in the next one, together with what is told there at once.
    assert rounds.most <= 2 * Pages.most * PAGE
