"""The times of a drain."""

from hostler.worker.drain import Drain


def test_drain_with_a_deadline_tells_streams_once_before_it() -> None:
    drain = Drain(2.0)
    assert drain.begin(30.0, 100.0)
    assert (drain.deadline, drain.wait(100.0)) == (130.0, 2.0)
    assert [drain.ends_streams(now) for now in (101.9, 102.0, 103.0)] == [False, True, False]
    assert drain.wait(103.0) == 27.0
    assert [drain.is_late(now) for now in (129.9, 130.0)] == [False, True]


def test_drain_without_a_deadline_waits_for_ever_until_it_gets_one() -> None:
    drain = Drain(2.0)
    assert not drain.begin(None, 100.0)
    assert drain.has_begun
    assert drain.wait(1e9) is None
    assert not drain.ends_streams(1e9)
    assert not drain.is_late(1e9)
    assert drain.begin(10.0, 200.0)
    assert drain.ends_streams(202.0)


def test_second_deadline_only_comes_nearer() -> None:
    drain = Drain(60.0)
    drain.begin(30.0, 100.0)
    assert not drain.begin(30.0, 110.0)
    assert drain.deadline == 130.0
    assert not drain.begin(1.0, 110.0)
    assert drain.deadline == 111.0


def test_streams_are_told_at_the_deadline_at_the_latest() -> None:
    drain = Drain(60.0)
    drain.begin(1.0, 100.0)
    assert drain.ends_streams(101.0)
