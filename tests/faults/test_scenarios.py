"""Scenarios can be told again; `just faults` plays all of them."""

import pytest

from tests.faults.catalogue import FAULTS
from tests.faults.forms import ADAPTER, FORMS, HAS_NODE
from tests.faults.scenario import OF_ALL_FORMS, Scenario, play


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_always_decides_the_same(seed: int) -> None:
    assert Scenario.mixed(seed) == Scenario.mixed(seed)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_can_be_played_alone(name: str) -> None:
    scenario = Scenario.single(1, name)
    assert scenario == Scenario.single(1, name)
    assert str(scenario).startswith(name)


@pytest.mark.parametrize("name", OF_ALL_FORMS)
def test_what_workers_need_fails_for_each_form_of_the_library(name: str) -> None:
    scenario = Scenario.of_all_forms(1, name)
    assert scenario == Scenario.of_all_forms(1, name)
    forms = [plan.form for plan in scenario.plans]
    of_adapters = [ADAPTER] if name in {"redis-killed", "worker-killed"} else []
    assert forms == [form for form in FORMS if form != "Node" or HAS_NODE] + of_adapters


@pytest.mark.timeout(180)  # each of its steps has 30 s
async def test_nobody_misses_anything_while_redis_closes_all_connections() -> None:
    outcome = await play(Scenario.single(1, "clients-killed"))
    assert outcome.violations == []
    assert outcome.recoveries
