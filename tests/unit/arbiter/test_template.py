"""The arbiter's view of a template: forks are asked for a few at a time, and each answer is owed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hostler.arbiter.template import Fork, Template
from hostler.proc.channel import Channel
from hostler.proc.dump import Dump


@pytest.fixture
def ends() -> Iterator[tuple[Template, Channel]]:
    ours, theirs = Channel.pair()
    template = Template(4711, ours, 0.0, due=60.0)
    yield template, theirs
    for fork in template.drop_forks():
        fork.close()
    ours.close()
    theirs.close()


def fork(slot: int) -> Fork:
    ours, theirs = Channel.pair()
    wanted = Fork(slot, 0, ours, Dump(), lambda pid: None)
    wanted.theirs = theirs
    return wanted


def asked(theirs: Channel) -> list[str]:
    """The messages that have come, whose descriptors are closed."""
    found = []
    while message := _take(theirs):
        found.append(message)
    return found


def _take(theirs: Channel) -> str:
    theirs._sock.setblocking(False)
    try:
        message, fds = theirs.wait_with()
    except BlockingIOError:
        return ""
    for fd in fds:
        os.close(fd)
    return message


def test_no_worker_is_forked_before_the_app_is_there(ends: tuple[Template, Channel]) -> None:
    template, _ = ends
    wanted = fork(0)
    with pytest.raises(OSError, match="is being imported"):
        template.want(wanted)
    wanted.close()
    assert template.forks == []


def test_forks_are_asked_for_eight_at_a_time(ends: tuple[Template, Channel]) -> None:
    template, theirs = ends
    template.is_ready = True
    for slot in range(10):
        template.want(fork(slot))
    template.ask(100.0, 7)
    assert asked(theirs) == [f"fork {number} {number - 1} 0" for number in range(1, 9)]
    answered = template.answered("3")
    assert answered is not None
    assert (answered.slot, answered.since) == (2, 7)
    answered.close()
    assert template.answered("3") is None, "an answer is taken once"
    assert template.answered("9") is None, "it was not asked yet"
    template.ask(101.0, 8)
    assert asked(theirs) == ["fork 9 8 0"]
    assert len(template.forks) == 9


def test_fork_that_cannot_be_asked_for_is_returned_and_forgotten(ends: tuple[Template, Channel]) -> None:
    template, theirs = ends
    template.is_ready = True
    template.want(fork(0))
    theirs.close()
    [(failed, error)] = template.ask(100.0, 0)
    assert failed.slot == 0
    assert isinstance(error, OSError)
    assert template.forks == []
    failed.close()


def test_answer_that_is_owed_for_too_long_is_late(ends: tuple[Template, Channel]) -> None:
    template, _ = ends
    template.is_ready = True
    template.due = None
    assert template.deadline() is None
    template.want(fork(0))
    template.ask(100.0, 0)
    assert template.deadline() == 110.0
    assert not template.is_late(109.9)
    assert template.is_late(110.0)


def test_forks_that_are_dropped_leave_no_descriptor(ends: tuple[Template, Channel]) -> None:
    template, theirs = ends
    before = len(os.listdir("/dev/fd"))
    template.is_ready = True
    for slot in range(10):
        template.want(fork(slot))
    template.ask(100.0, 0)
    for each in template.drop_forks():
        each.close()
    asked(theirs)
    assert len(os.listdir("/dev/fd")) == before
    assert template.forks == []
