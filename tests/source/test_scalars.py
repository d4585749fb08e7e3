import math

import pytest

from ftspec.source.scalars import read_plain_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("1e-5", 1e-5),
        ("2e5", 2e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("-3", -3),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("null", None),
        ("~", None),
        ("", None),
        ("True", True),
        ("false", False),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("1e999", math.inf),
        ("+", "+"),
        ("..", ".."),
        ("e5", "e5"),
    ],
)
def test_core_schema(text: str, value: object) -> None:
    read = read_plain_scalar(text)
    assert read == value
    assert type(read) is type(value)


def test_nan() -> None:
    assert math.isnan(read_plain_scalar(".nan"))


def test_endless_digits_are_text() -> None:
    assert isinstance(read_plain_scalar("9" * 10_000), str)
