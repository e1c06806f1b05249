"""Addresses: every form, and what is said about those that are none."""

from __future__ import annotations

import pytest

from hostler.config.address import Address, DescriptorAddress, TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("localhost:0", TcpAddress("localhost", 0), "localhost:0"),
        ("my-host_1.example:65535", TcpAddress("my-host_1.example", 65535), "my-host_1.example:65535"),
        (":8000", TcpAddress("0.0.0.0", 8000), "0.0.0.0:8000"),
        ("0:8000", TcpAddress("0.0.0.0", 8000), "0.0.0.0:8000"),
        ("127.1:8000", TcpAddress("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("8000", TcpAddress("127.0.0.1", 8000), "127.0.0.1:8000"),
        (" 8000 ", TcpAddress("127.0.0.1", 8000), "127.0.0.1:8000"),
        ("[::]:80", TcpAddress("::", 80), "[::]:80"),
        ("[::1]:80", TcpAddress("::1", 80), "[::1]:80"),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        ("unix:/run/app.sock", UnixAddress("/run/app.sock"), "unix:/run/app.sock"),
        ("unix:///run/app.sock", UnixAddress("/run/app.sock"), "unix:/run/app.sock"),
        ("unix:app.sock", UnixAddress("app.sock"), "unix:app.sock"),
        ("unix:@app", UnixAddress("\0app"), "unix:@app"),
        ("fd://3", DescriptorAddress(3), "fd://3"),
    ],
)
def test_forms(text: str, address: Address, shown: str) -> None:
    assert parse_address(text) == address
    assert str(address) == shown
    assert parse_address(shown) == address


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("localhost", "the port is missing - localhost:8000"),
        ("1.2.3.4", "the port is missing - 1.2.3.4:8000"),
        ("", ""),
        ("two words", ""),
        ("x" * 301, ""),
        ("::1:8000", "an IPv6 address needs brackets - [::1]:8000"),
        ("[::1]", "an IPv6 address with its port looks like [::1]:8000"),
        ("[::1]8000", "an IPv6 address with its port looks like [::1]:8000"),
        ("[::1", "an IPv6 address with its port looks like [::1]:8000"),
        ("[1.2.3.4]:80", '"1.2.3.4" is not an IPv6 address'),
        ("[]:80", '"" is not an IPv6 address'),
        ("256.1.1.1:80", '"256.1.1.1" is not a host'),
        ("*:80", '"*" is not a host'),
        ("a b:80", '"a b" is not a host'),
        ("localhost:http", "a port is a whole number from 0 to 65535"),
        ("localhost:65536", "a port is a whole number from 0 to 65535"),
        ("localhost:-1", "a port is a whole number from 0 to 65535"),
        ("localhost:", "a port is a whole number from 0 to 65535"),
        (":8０", "a port is a whole number from 0 to 65535"),
        ("http://localhost:80/", "an address has no http:// - localhost:80"),
        ("/run/app.sock", "a unix socket starts with unix: - unix:/run/app.sock"),
        ("unix:", "the path of the unix socket is missing"),
        ("unix:@", "the path of the unix socket is missing"),
        ("unix:a\0b", "the path of the unix socket cannot hold NUL"),
        ("unix:/" + "x" * 107, "the path of a unix socket has at most 107 bytes"),
        ("unix:/" + "é" * 54, "the path of a unix socket has at most 107 bytes"),
        ("fd://", "a descriptor is a whole number"),
        ("fd://x", "a descriptor is a whole number"),
        ("fd://4294967296", "a descriptor is a whole number"),
    ],
)
def test_complaints(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert str(caught.value) == complaint


def test_kinds_of_addresses() -> None:
    assert TcpAddress("::1", 80).is_ipv6
    assert not TcpAddress("localhost", 80).is_ipv6
    assert UnixAddress("\0app").is_abstract
    assert not UnixAddress("@app").is_abstract  # a file of that name


def test_addresses_are_frozen() -> None:
    with pytest.raises(AttributeError):
        TcpAddress("::1", 80).port = 81  # type: ignore[misc]
