"""The profile of long runs, which ``tests.fuzz.__main__`` chooses."""

from hypothesis import settings

from tests.fuzz.bounds import LONG

settings.register_profile(LONG, parent=settings.get_profile("suite"))
