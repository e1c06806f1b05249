"""Kinds: what each reads from text, TOML and Python, and the exact words of its refusal."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from hostler.config.address import TcpAddress
from hostler.config.kinds import Choice, Kind, Many, Maybe, Path, Permissions, Span, Text, Volume, Whole, quote
from hostler.config.subjects import HeaderText, ListenAddress, LogFormat

SPAN = "is not a duration such as 15, 15s, 500ms or 2m, from 100ms to 1d"
VOLUME = "is not a size such as 8192, 8K or 1M, from 64 to 1K"
ADDRESS = "an address (host:port, :port, port, [v6]:port, unix:/path, unix:@name or fd://N)"
LEVELS = Choice({"low": 1, "high": 2})
HERE = TcpAddress("::1", 8000)


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        (Whole(1), "4", 4),
        (Whole(1), " 4 ", 4),
        (Whole(1), 1, 1),
        (Whole(1, 128), 128, 128),
        (Volume("64", "1K"), "1K", 1024),
        (Volume("64", "1K"), 64, 64),
        (Span("100ms"), "100ms", 0.1),
        (Span("0"), 0, 0.0),
        (Permissions(), "600", 0o600),
        (ListenAddress(), "[::1]:8000", HERE),
        (ListenAddress(), 8000, TcpAddress("127.0.0.1", 8000)),
        (ListenAddress(), HERE, HERE),
        (Text(), "shop.wsgi", "shop.wsgi"),
        (Path(), "tmp dir/ü\n", "tmp dir/ü\n"),
        (HeaderText(), "my server/1.0 (x)", "my server/1.0 (x)"),
        (LogFormat(), "json", "json"),
        (LogFormat(), "json user=%({x-user}i)s ms=%(M)s", "json user=%({x-user}i)s ms=%(M)s"),
        (LogFormat(), "100%% %(h)s %({x-id}i)s%({X}o)s%({wsgi.x}e)s %(Q)s", None),
        (LEVELS, "low", 1),
        (LEVELS, " HIGH ", 2),
        (Maybe(Whole(1)), 3, 3),
        (Maybe(Whole(1)), None, None),
        (Maybe(Whole(1)), False, None),
        (Maybe(Path()), "off", None),
        (Maybe(Path()), "none", None),
        (Maybe(Path()), "./none", "./none"),
        (Many(Whole(1)), "1, 2,,3", (1, 2, 3)),
        (Many(Whole(1)), [1, "2"], (1, 2)),
        (Many(Whole(1)), (1, 2), (1, 2)),
        (Many(Whole(1)), 7, (7,)),
        (Many(Whole(1)), [], ()),
        (Many(Whole(1)), "none", ()),
        (Many(Path()), ["a,b"], ("a,b",)),  # an item of an array is taken as it is
        (Many(ListenAddress()), HERE, (HERE,)),
    ],
)
def test_reads(kind: Kind[Any], raw: object, value: object) -> None:
    assert kind.parse(raw) == (raw if value is None and not isinstance(kind, Maybe) else value)


@pytest.mark.parametrize(
    ("kind", "raw", "complaint"),
    [
        (Whole(1), "many", '"many" is not a whole number >= 1'),
        (Whole(1), 0, "0 is not a whole number >= 1"),
        (Whole(1), "-1", '"-1" is not a whole number >= 1'),
        (Whole(1), 2.0, "2.0 is not a whole number >= 1"),
        (Whole(1), True, "true is not a whole number >= 1"),
        (Whole(1), "", '"" is not a whole number >= 1'),
        (Whole(1), "9" * 5000, f'"{"9" * 57}..." is not a whole number >= 1'),
        (Whole(1, 128), 129, "129 is not a whole number from 1 to 128"),
        (Volume("64", "1K"), "1M", f'"1M" {VOLUME}'),
        (Volume("64", "1K"), 63, f"63 {VOLUME}"),
        (Volume("64", "1K"), "big", f'"big" {VOLUME}'),
        (Span("100ms"), 0, f"0 {SPAN}"),
        (Span("100ms"), "2d", f'"2d" {SPAN}'),
        (Span("100ms"), "soon", f'"soon" {SPAN}'),
        (Span("100ms"), date(2020, 1, 2), f"2020-01-02 {SPAN}"),
        (Permissions(), 660, '660 is not permission bits as octal text such as "660"'),
        (ListenAddress(), "localhost", '"localhost" is not an address: the port is missing - localhost:8000'),
        (ListenAddress(), "two words", f'"two words" is not an address: {ADDRESS}'),
        (ListenAddress(), True, f"true is not {ADDRESS}"),
        (ListenAddress(), 70000, '"70000" is not an address: a port is a whole number from 0 to 65535'),
        (Text("APP", "an app"), "", '"" is not an app'),
        (Text("APP", "an app"), "  ", '"  " is not an app'),
        (Text("APP", "an app"), 3, "3 is not an app"),
        (Text("APP", "an app"), "a\nb", '"a\\nb" is not an app'),
        (Path(), "", '"" is not a path'),
        (Path(), "a\0b", '"a\\x00b" is not a path'),
        (Path(), ["a"], "an array is not a path"),
        (HeaderText(), "a\r\nb: c", '"a\\r\\nb: c" is not the value of a header (printable ASCII)'),
        (HeaderText(), "naïve", '"naïve" is not the value of a header (printable ASCII)'),
        (HeaderText(), " a", '" a" is not the value of a header (printable ASCII)'),
        (LogFormat(), "%(h)s %(zz)s", "the access log has no atom %(zz)s"),
        (LogFormat(), "%({x}z)s", "the access log has no atom %({x}z)s"),
        (LogFormat(), "%({}i)s", "the access log has no atom %({}i)s"),
        (LogFormat(), "%()s", "the access log has no atom %()s"),
        (LogFormat(), "5% %(h)s", '"% %(h)s" is not an atom such as %(h)s; %% is a percent sign'),
        (LogFormat(), "%(h", '"%(h" is not an atom such as %(h)s; %% is a percent sign'),
        (LogFormat(), "json user", '"user" is not a field such as user=%({x-user}i)s'),
        (LogFormat(), "json a-b=%(M)s", '"a-b=%(M)s" is not a field such as user=%({x-user}i)s'),
        (LogFormat(), "json a=%(M)s a=%(D)s", 'the JSON line has a field "a" already'),
        (LogFormat(), "json pid=%(p)s", 'the JSON line has a field "pid" already'),
        (LogFormat(), "json a=%(zz)s", "the access log has no atom %(zz)s"),
        (LogFormat(), "%(h)s\n", '"%(h)s\\n" is not a log format: "json", or text with atoms such as %(h)s'),
        (LEVELS, "middle", '"middle" is not one of low, high'),
        (LEVELS, 1, "1 is not one of low, high"),
        (Maybe(Whole(1)), "x", '"x" is not a whole number >= 1, or "none"'),
        (Maybe(Path(), word="off"), True, 'true is not a path, or "off"'),
        (Many(Whole(1)), "1,x", '"x" is not a whole number >= 1'),
        (Many(Whole(1), at_least=1), [], "an array holds no value: a whole number >= 1"),
        (Many(Whole(1), at_least=1), " , ", '" , " holds no value: a whole number >= 1'),
        (Many(Whole(1), at_least=1), {"a": 1}, "a table is not a whole number >= 1"),
    ],
)
def test_refuses(kind: Kind[Any], raw: object, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        kind.parse(raw)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("kind", "raw", "shown"),
    [
        (Whole(1), "04", "4"),
        (Volume("1"), 8192, "8K"),
        (Span("0"), "120s", "2m"),
        (LEVELS, "high", "high"),
        (Maybe(Whole(1)), "none", "none"),
        (Maybe(Whole(1), word="off"), None, "off"),
        (Maybe(Whole(1)), 4, "4"),
        (Many(Whole(1)), [1, 2], "1,2"),
        (Many(Whole(1)), [], "none"),
        (Many(ListenAddress()), ":80, unix:@a", "0.0.0.0:80,unix:@a"),
    ],
)
def test_shown_text_reads_back(kind: Kind[Any], raw: object, shown: str) -> None:
    value = kind.parse(raw)
    assert kind.show(value) == shown
    assert kind.parse(shown) == value


def test_what_a_kind_says_of_itself() -> None:
    assert Maybe(Path(), word="off").off == "off"
    assert Whole(1).off is None
    assert Many(Whole(1)).is_repeatable
    assert not Whole(1).is_repeatable


def test_a_kind_must_read() -> None:
    with pytest.raises(NotImplementedError):
        Kind[int]("N", "a number").parse(1)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("a", '"a"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("x" * 61, f'"{"x" * 57}..."'),
        (True, "true"),
        (2.5, "2.5"),
        ({}, "a table"),
        ([], "an array"),
        (10**100, "1" + "0" * 59),
    ],
)
def test_quote_is_one_line_of_bounded_length(value: object, quoted: str) -> None:
    assert quote(value) == quoted
