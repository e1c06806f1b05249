"""Packets that a dead worker has left: they go to the others, in turn, and none is lost on the way."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from hostler.proc import inboxes as module
from hostler.proc.inboxes import Inboxes


@pytest.fixture
def inboxes() -> Iterator[Inboxes]:
    made = Inboxes(3)
    yield made
    made.close()


def put(inboxes: Inboxes, slot: int, data: bytes) -> socket.socket:
    """Leave one end of a connection in the inbox of a slot; returns the other."""
    ours, theirs = socket.socketpair()
    give = socket.socket(fileno=os.dup(inboxes.descriptors[slot][1]))
    socket.send_fds(give, [data], [theirs.fileno()])
    give.close()
    theirs.close()
    return ours


def take(inboxes: Inboxes, slot: int) -> tuple[bytes, socket.socket]:
    inbox = socket.socket(fileno=os.dup(inboxes.descriptors[slot][0]))
    data, fds, _, _ = socket.recv_fds(inbox, 1000, 1)
    inbox.close()
    return data, socket.socket(fileno=fds[0])


def test_what_is_left_goes_to_the_others_in_turn(inboxes: Inboxes) -> None:
    clients = [put(inboxes, 0, text) for text in (b"one", b"two", b"three")]
    assert inboxes.forward(0, [1, 2]) == 3
    found = [take(inboxes, 1), take(inboxes, 2), take(inboxes, 1)]
    assert [data for data, _ in found] == [b"one", b"two", b"three"]
    for client, (data, server) in zip(clients, found, strict=True):
        server.sendall(data)
        server.close()
        assert client.recv(100) == data
        assert client.recv(100) == b"", "nobody else has it open"
        client.close()


def test_nobody_to_go_to(inboxes: Inboxes) -> None:
    client = put(inboxes, 0, b"one")
    assert inboxes.forward(0, []) == 0
    assert inboxes.forward(0, [7]) == 0, "a slot without an inbox"
    assert inboxes.forward(9, [1]) == 0
    assert inboxes.close() == 1
    assert client.recv(100) == b"", "its connection is closed"
    client.close()


def test_a_full_inbox_gets_no_more(inboxes: Inboxes) -> None:
    filler = socket.socket(fileno=os.dup(inboxes.descriptors[1][1]))
    filler.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            filler.send(b"x" * 1000)
    filler.close()
    client = put(inboxes, 0, b"one")
    assert inboxes.forward(0, [1]) == 0
    assert inboxes.forward(0, [2]) == 1
    data, server = take(inboxes, 2)
    assert data == b"one"
    server.close()
    client.close()


def test_slots_with_packets_are_found_without_taking_them(inboxes: Inboxes) -> None:
    assert inboxes.waiting() == set()
    clients = [put(inboxes, slot, b"one") for slot in (0, 2)]
    assert inboxes.waiting() == {0, 2}
    assert inboxes.forward(0, [1]) == 1
    assert inboxes.waiting() == {1, 2}
    for client in clients:
        client.close()


@pytest.mark.parametrize("data", [b"", b"two descriptors"])
def test_packet_that_no_worker_would_send_leaves_no_descriptor(inboxes: Inboxes, data: bytes) -> None:
    """The workers are not trusted: one descriptor too many for each packet would use them up."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        ours, theirs = socket.socketpair()
        give = socket.socket(fileno=os.dup(inboxes.descriptors[0][1]))
        socket.send_fds(give, [data], [theirs.fileno(), ours.fileno()])
        for each in (ours, theirs, give):
            each.close()
    assert inboxes.forward(0, [1]) == (3 if data else 0)
    assert inboxes.waiting() == ({1} if data else set())
    assert len(os.listdir("/proc/self/fd")) == before


def test_packet_without_a_descriptor_is_dropped(inboxes: Inboxes) -> None:
    give = socket.socket(fileno=os.dup(inboxes.descriptors[0][1]))
    give.send(b"bytes alone")
    give.close()
    assert inboxes.forward(0, [1]) == 0
    assert inboxes.waiting() == set()


def test_inbox_that_is_filled_while_it_is_emptied_is_left_after_a_bounded_number(
    inboxes: Inboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = socket.socketpair()
    with monkeypatch.context() as patch:
        patch.setattr(inboxes, "_take", lambda slot: (b"again", [os.dup(server.fileno())]))
        patch.setattr(module, "_send", lambda *packet: None)
        assert inboxes.forward(0, [1]) == 1024
    client.close()
    server.close()


def test_without_inboxes() -> None:
    assert Inboxes(0).descriptors == []


def test_descriptors_are_not_for_programs(inboxes: Inboxes) -> None:
    assert not any(os.get_inheritable(fd) for pair in inboxes.descriptors for fd in pair)
