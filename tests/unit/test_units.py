"""Sizes and durations, both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pelton.config.units import format_bytes, format_seconds, parse_bytes, parse_seconds
from pelton.exceptions import ConfigError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("64KiB", 65536),
        ("64k", 65536),
        ("1.5MiB", 1572864),
        ("10MB", 10_000_000),
        (" 1 GiB ", 2**30),
        ("1g", 2**30),
        ("1.3KiB", 1331),
        ("9007199254740993", 2**53 + 1),
        ("12B", 12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "1.5", "1.5B", "10 apples", "1,5MiB", "MiB", "1e3", "٣", "1 2"]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("30s", 30),
        ("500ms", 0.5),
        ("2min", 120),
        ("2m", 120),
        ("1h", 3600),
        ("1D", 86400),
        (".5", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1s", "inf", "nan", "1w", "s", "9" * 400])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_seconds(text)


@given(st.integers(0, 2**63))
def test_a_formatted_size_reads_back(size: int) -> None:
    assert parse_bytes(format_bytes(size)) == size


@given(st.floats(0, 1e6).map(lambda seconds: round(seconds, 3)))
def test_a_formatted_duration_reads_back(seconds: float) -> None:
    assert parse_seconds(format_seconds(seconds)) == pytest.approx(seconds, abs=1e-9)


def test_short_forms() -> None:
    assert [format_bytes(n) for n in (1000, 1024, 1536, 2**20, 2**30)] == [
        "1000",
        "1KiB",
        "1.5KiB",
        "1MiB",
        "1GiB",
    ]
    assert [format_seconds(n) for n in (0, 0.07, 0.5, 1.5, 30)] == ["0s", "70ms", "500ms", "1.5s", "30s"]
    assert format_seconds(parse_seconds("700ms")) == "700ms"
