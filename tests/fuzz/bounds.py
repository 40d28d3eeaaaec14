"""How many examples a property is tried with."""

from typing import Final

from hypothesis import HealthCheck, Phase, settings

LONG: Final = "fuzz"
"""The profile of ``just fuzz``: more examples, and other ones in each run."""

_TIMES_MORE: Final = 10
_ON_A_BUSY_MACHINE: Final = (HealthCheck.too_slow, HealthCheck.data_too_large)
_WITHOUT_SHRINKING: Final = (Phase.explicit, Phase.generate)
"""Making a failing example smaller takes up to five minutes, and a test has one."""


def bounded(examples: int) -> settings:
    """Return settings for so many examples, always the same ones; in a long run more and others."""
    if settings.get_current_profile_name() == LONG:
        return settings(
            max_examples=_TIMES_MORE * examples,
            database=None,
            suppress_health_check=_ON_A_BUSY_MACHINE,
        )
    return settings(
        max_examples=examples,
        derandomize=True,
        phases=_WITHOUT_SHRINKING,
        database=None,
        suppress_health_check=_ON_A_BUSY_MACHINE,
    )
