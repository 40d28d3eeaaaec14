import asyncio
import time

import pytest

from tests.support.clock import in_patient_time
from tests.support.waiting import after


@in_patient_time
async def test_no_time_of_a_patient_loop_goes_by_while_the_machine_has_other_things_to_do() -> None:
    now = asyncio.get_running_loop().time
    began = now()
    time.sleep(0.2)  # noqa: ASYNC251 - as if it had been kept from running
    await asyncio.sleep(0)
    assert now() - began < 0.1


@in_patient_time
async def test_the_time_of_a_patient_loop_goes_by_while_it_waits_in_vain() -> None:
    now = asyncio.get_running_loop().time
    began = now()
    await after(0.2)
    assert now() - began == pytest.approx(0.2, abs=0.05)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.Event().wait()
    assert now() - began == pytest.approx(0.3, abs=0.05)
