"""Numbers with a unit: what they read, what they refuse, how they are shown."""

from __future__ import annotations

import pytest

from hostler.config.units import Duration, Mode, Size, digits


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (15, 15.0),
        (0, 0.0),
        (0.5, 0.5),
        ("15", 15.0),
        ("15s", 15.0),
        (" 15 s ", 15.0),
        ("500ms", 0.5),
        ("2m", 120.0),
        ("1.5m", 90.0),
        ("0.25", 0.25),
        ("1h", 3600.0),
        ("1D", 86400.0),
        (Duration(3), 3.0),
    ],
)
def test_duration_reads(value: object, seconds: float) -> None:
    duration = Duration.parse(value)
    assert duration == seconds
    assert isinstance(duration, Duration)


@pytest.mark.parametrize(
    "value",
    [
        *("", "s", "-1", "1e3", "1_000", "nan", "inf", "1.2.3", ".5", "5 fortnights", "1m30s", "٣s", "9" * 400),
        *(-1, -0.5, float("nan"), float("inf"), True, None, [15], b"15"),
    ],
)
def test_duration_refuses(value: object) -> None:
    with pytest.raises(ValueError):
        Duration.parse(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0s"), (1, "1s"), (60, "60s"), (75, "75s"), (90, "90s"), (120, "2m"), (3600, "60m"), (7200, "2h")),
        *((0.5, "500ms"), (1.5, "1500ms"), (0.0005, "0.5ms")),
    ],
)
def test_duration_is_shown_as_it_is_written(seconds: float, text: str) -> None:
    assert str(Duration(seconds)) == text
    assert Duration.parse(text) == seconds
    assert f"{Duration(seconds):.3f}" == f"{seconds:.3f}"  # it still is a number


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (8192, 8192),
        ("8192", 8192),
        ("8K", 8192),
        ("8k", 8192),
        ("8KB", 8192),
        ("8 KiB", 8192),
        ("10B", 10),
        ("1M", 1 << 20),
        ("1mib", 1 << 20),
        ("2G", 2 << 30),
        ("1T", 1 << 40),
        (Size(5), 5),
    ],
)
def test_size_reads(value: object, count: int) -> None:
    size = Size.parse(value)
    assert size == count
    assert isinstance(size, Size)


@pytest.mark.parametrize(
    "value", ["", "K", "-1", "1.5M", "1P", "8i", "8KK", "0x10", "1_0", "9" * 16, -1, 1.0, True, None, {}]
)
def test_size_refuses(value: object) -> None:
    with pytest.raises(ValueError):
        Size.parse(value)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (1, "1"), (1000, "1000"), (1024, "1K"), (1536, "1536"), (8192, "8K"), (1 << 20, "1M"), (5 << 30, "5G")],
)
def test_size_is_shown_as_it_is_written(count: int, text: str) -> None:
    assert str(Size(count)) == text
    assert Size.parse(text) == count


@pytest.mark.parametrize("value", ["660", "0660", "0o660", " 0O660 ", Mode(0o660)])
def test_mode_reads_octal(value: object) -> None:
    mode = Mode.parse(value)
    assert mode == 0o660
    assert str(mode) == "660"


@pytest.mark.parametrize("value", ["", "0o", "888", "1777", "-1", "rw-rw----", None])
def test_mode_refuses(value: object) -> None:
    with pytest.raises(ValueError):
        Mode.parse(value)


def test_mode_refuses_numbers() -> None:
    """660 and 0o660 look alike in a file and arrive as different numbers."""
    with pytest.raises(ValueError):
        Mode.parse(660)


@pytest.mark.parametrize("text", ["", "+1", "1_0", "１", "1" * 16])
def test_digits_are_plain(text: str) -> None:
    with pytest.raises(ValueError):
        digits(text)
