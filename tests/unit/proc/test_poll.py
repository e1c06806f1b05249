"""What wakes the loop, and what does not any more."""

from __future__ import annotations

import select
import socket

from hostler.proc.poll import Poll


def test_what_is_forgotten_wakes_nobody_and_may_be_forgotten_again() -> None:
    ours, theirs = socket.socketpair()
    poll = Poll()
    poll.register(ours)
    theirs.send(b"x")
    assert poll.wait(1000) == {ours.fileno()}
    poll.forget(ours)
    poll.forget(ours)
    assert poll.wait(0) == set()
    poll.register(ours)
    assert poll.wait(1000) == {ours.fileno()}
    poll.forget(ours)
    ours.close()
    poll.forget(ours)
    assert poll.wait(0) == set()
    theirs.close()


def test_events_are_changed() -> None:
    ours, theirs = socket.socketpair()
    poll = Poll()
    poll.register(ours)
    assert poll.wait(0) == set()
    poll.register(ours, select.POLLOUT)
    assert poll.wait(1000) == {ours.fileno()}
    poll.register(ours, 0)
    assert poll.wait(0) == set()
    ours.close()
    theirs.close()
