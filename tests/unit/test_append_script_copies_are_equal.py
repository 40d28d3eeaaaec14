from importlib.resources import files


def test_the_service_and_the_sdk_carry_the_same_append_script() -> None:
    service = files("eventlog").joinpath("append.lua").read_bytes()
    sdk = files("jobcast").joinpath("append.lua").read_bytes()
    assert service == sdk
