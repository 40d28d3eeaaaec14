import pytest

from app.dev.process import port_of


@pytest.mark.parametrize("text", ["1", "8000", "65535", "0008000"])
def test_a_port_is_a_number_up_to_65535(text: str) -> None:
    assert port_of(text) == int(text)


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "65536", "http", "8e3", "٣", " 80", "0000000010000000", "1" * 5000]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no port$"):
        port_of(text)
