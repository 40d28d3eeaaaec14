"""The Sentinels of the tests do what other tests rely on."""

from tests.sentinels import SentinelSet


def test_another_server_takes_over_in_good_order(sentinels: SentinelSet) -> None:
    before = sentinels.primary()
    before.ask("SET", "key", "value")
    after = sentinels.failover()
    assert after is not before
    assert after.ask("GET", "key") == "value"
    assert before.ask("ROLE")[0] == "slave"


def test_a_killed_primary_is_followed_and_comes_back_as_a_replica(sentinels: SentinelSet) -> None:
    before = sentinels.primary()
    before.kill()
    sentinels.until_ok()
    assert sentinels.primary() is not before
    sentinels.restart()
    assert before.ask("ROLE")[0] == "slave"


def test_a_frozen_primary_is_followed(sentinels: SentinelSet) -> None:
    before = sentinels.primary()
    before.pause()
    sentinels.until_ok()
    assert sentinels.primary() is not before
