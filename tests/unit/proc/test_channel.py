"""The channel: whole messages, and the news that the other end is gone."""

from __future__ import annotations

import os
import select
import socket
import sys
import time
from collections.abc import Iterator

import pytest

from hostler.proc import channel
from hostler.proc.channel import Channel
from hostler.proc.fork import fork
from hostler.proc.signals import ORPHANED


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_messages_stay_whole(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    assert theirs.send("ready")
    assert theirs.send("failed app\nline\nline é")
    assert ours.receive() == ["ready", "failed app\nline\nline é"]
    assert ours.receive() == []
    assert ours.is_open


def test_message_that_comes_in_pieces(ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no packets, a message may be cut anywhere."""
    monkeypatch.setattr(channel, "_HAS_PACKETS", False)
    ours, theirs = ends
    theirs._sock.sendall(b"rea")
    assert ours.receive() == []
    theirs._sock.sendall(b"dy\0")
    assert ours.receive() == ["ready"]


@pytest.mark.skipif(sys.platform != "linux", reason="packets on unix sockets")
def test_packet_is_one_message_whatever_is_in_it(ends: tuple[Channel, Channel]) -> None:
    """The sender need not be our own code: a packet without an end, or with many."""
    ours, theirs = ends
    for packet in (b"no end", b"one\0two\0three\0", b"next\0"):
        theirs._sock.sendall(packet)
    assert ours.receive() == ["no end", "one", "next"]
    assert ours._buffer == b""


def test_stream_without_an_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no packets: the beginning of a message is kept, but not without a limit."""
    monkeypatch.setattr(channel, "_HAS_PACKETS", False)
    one, other = socket.socketpair()
    ours = Channel(one)
    for _ in range(10):
        other.sendall(b"x" * 50_000)
        assert all(len(message) <= 60_000 for message in ours.receive())
        assert len(ours._buffer) <= 60_000
    other.close()
    ours.close()


def test_receive_returns_a_bounded_number_and_leaves_the_rest(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    for number in range(50):
        theirs.send(str(number))
    assert ours.receive(3) == ["0", "1", "2"]
    assert ours.receive(0) == []
    assert len(ours.receive()) == 32
    assert ours.receive()[-1] == "49"


def test_long_message_loses_its_middle(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.send("a" * 50_000 + "\0" + "z" * 50_000)
    [message] = ours.receive()
    assert len(message) < 61_000
    assert message.startswith("aaaa")
    assert message.endswith("zzzz")
    assert "\n[...]\n" in message


def test_end_of_the_other_side_is_seen_after_its_last_words(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.send("failed boot")
    theirs.close()
    assert ours.receive() == ["failed boot"]
    assert not ours.is_open
    assert ours.receive() == []


def test_sending_to_nobody_is_no_error(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    ours.close()
    assert not theirs.send("ready")


def test_end_of_the_other_side_ends_a_poll(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    poll = select.poll()
    poll.register(theirs, select.POLLIN)
    assert poll.poll(0) == []
    ours.close()
    assert poll.poll(5000)


def test_ends_are_not_inherited_by_programs(ends: tuple[Channel, Channel]) -> None:
    assert not any(os.get_inheritable(end.fileno()) for end in ends)


@pytest.mark.skipif(sys.platform != "linux", reason="F_SETSIG")
def test_process_whose_peer_has_gone_before_dies_at_once() -> None:
    ours, theirs = Channel.pair()
    ours.close()

    def main() -> int:
        theirs.die_with_peer(True)
        return 5

    pid = fork(lambda: None, main, {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -ORPHANED
    theirs.close()


@pytest.mark.skipif(sys.platform != "linux", reason="F_SETSIG")
@pytest.mark.parametrize("wanted", [True, False])
def test_process_dies_with_its_peer(wanted: bool) -> None:
    """With nobody polling: the child sleeps, and the kernel ends it."""
    ours, theirs = Channel.pair()

    def main() -> int:
        ours.close()
        theirs.die_with_peer(True)
        theirs.die_with_peer(wanted)
        os.write(writer, b"x")
        time.sleep(60 if wanted else 0.2)
        return 5

    reader, writer = os.pipe()
    pid = fork(lambda: None, main, {})
    os.read(reader, 1)
    theirs.close()
    ours.close()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == (-ORPHANED if wanted else 5)
    os.close(reader)
    os.close(writer)
