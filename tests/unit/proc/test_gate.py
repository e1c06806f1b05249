"""The shut door: who is in is served, who comes is not let in, the next owner of the port gets them."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from hostler.proc.gate import refuse_newcomers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="socket filters")

FAMILIES = [
    (socket.AF_INET, "127.0.0.1"),
    pytest.param(socket.AF_INET6, "::1", marks=pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")),
]


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_queue_is_kept_and_newcomers_stay_out(family: socket.AddressFamily, host: str) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        address = listener.getsockname()[:2]
        queued = socket.create_connection(address)
        queued.sendall(b"before ")
        assert refuse_newcomers(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        queued.sendall(b"after")
        accepted, _ = listener.accept()
        assert accepted.recv(100) == b"before after"
        accepted.sendall(b"answer")
        assert queued.recv(100) == b"answer"
        accepted.close()
        queued.close()


def test_a_client_that_tries_again_finds_the_next_owner() -> None:
    old = socket.create_server(("127.0.0.1", 0))
    address = old.getsockname()
    refuse_newcomers(old)
    got: list[bytes] = []

    def client() -> None:
        with socket.create_connection(address, timeout=20) as sock:
            got.append(sock.recv(100))

    thread = threading.Thread(target=client)
    thread.start()
    while thread.is_alive() and not _is_connecting(address[1]):
        pass
    old.close()
    with socket.create_server(address) as new:
        accepted, _ = new.accept()
        accepted.sendall(b"hello from the next")
        accepted.close()
        thread.join()
    assert got == [b"hello from the next"]


def test_unix_sockets_have_no_such_door() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert not refuse_newcomers(sock)


def _is_connecting(port: int) -> bool:
    """Whether a SYN to the port is without an answer (state 02 in /proc/net/tcp)."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    return any(row[2].endswith(f":{port:04X}") and row[3] == "02" for row in rows)
