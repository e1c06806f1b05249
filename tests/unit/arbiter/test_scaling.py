"""How many workers there shall be: what counts, how long it must, and what never happens."""

from __future__ import annotations

import random

import pytest

from hostler.arbiter.scaling import ADVISE_AFTER, GROW_AFTER, SHRINK_AFTER, Advice, Bounds, Load, Scaling


class World:
    """Workers that compute and wait as they are told, a second at a time."""

    def __init__(self, size: int = 1, bounds: Bounds = Bounds(1, 4)) -> None:  # noqa: B008 - immutable
        self.now = 0.0
        self.size = size
        self.loads = {pid: Load(0.0, 0, 0.0) for pid in range(size)}
        self.scaling = Scaling(bounds, 0.0)
        self.next_pid = size
        self.said: list[str] = []

    def pass_second(self, share: float, waited: float = 0.0, queued: int = 0, passed: float = 1.0) -> int:
        """Returns what was decided; it is carried out at once."""
        self.now += passed
        for pid, load in self.loads.items():
            self.loads[pid] = Load(load.cpu + share * passed, queued, load.waited + waited * passed)
        found = self.scaling.look(self.now, self.size, self.loads)
        if found is None:
            return 0
        by, reason = found
        self.said.append(reason)
        self.size += by
        if by > 0:
            self.loads[self.next_pid] = Load(0.0, 0, 0.0)
            self.next_pid += 1
        else:
            self.loads.pop(min(self.loads))
        return by


def test_grows_while_all_compute_and_requests_wait() -> None:
    world = World()
    decided = [world.pass_second(0.97, waited=0.5) for _ in range(30)]
    assert world.size == 4  # and no more
    assert decided.index(1) >= GROW_AFTER
    assert world.said[0] == "all workers compute and requests wait, cpu=97%"


@pytest.mark.parametrize(
    ("share", "waited", "queued"),
    [
        (0.97, 0.0, 0),  # it computes, and nobody waits
        (0.3, 0.9, 5),  # requests wait for something else: threads are for that
        (0.0, 0.0, 0),
    ],
)
def test_does_not_grow_otherwise(share: float, waited: float, queued: int) -> None:
    world = World()
    assert [world.pass_second(share, waited, queued) for _ in range(60)] == [0] * 60


def test_one_that_computes_does_not_speak_for_all() -> None:
    world = World(2)
    for _ in range(10):
        world.now += 1
        world.loads[0] = Load(world.loads[0].cpu + 1, 3, 0.0)
        assert world.scaling.look(world.now, 2, world.loads) is None


def test_shrinks_slowly_and_not_below_the_least() -> None:
    world = World(4, Bounds(2, 4))
    decided = [world.pass_second(0.05) for _ in range(4 * SHRINK_AFTER)]
    assert world.size == 2
    assert decided.index(-1) >= SHRINK_AFTER
    assert sum(decided) == -2


def test_work_that_the_others_could_not_take_keeps_everybody() -> None:
    world = World(2)
    assert [world.pass_second(0.4) for _ in range(100)] == [0] * 100


def test_while_a_worker_comes_or_goes_nothing_is_decided() -> None:
    world = World(2)
    for _ in range(10):
        world.now += 1
        world.loads = {pid: load._replace(cpu=world.now, queued=9) for pid, load in world.loads.items()}
        assert world.scaling.look(world.now, 3, world.loads) is None  # the third is not ready


def test_a_pause_of_the_machine_is_no_idleness() -> None:
    world = World(1)
    world.pass_second(1.0, waited=1.0)
    world.pass_second(1.0, waited=1.0, passed=600.0)
    assert world.size == 1


@pytest.mark.parametrize("seed", range(100))
def test_whatever_happens_it_stays_within_the_bounds(seed: int) -> None:
    chance = random.Random(seed)
    world = World(2, Bounds(2, 5))
    for _ in range(400):
        share, waited = chance.random() * 1.2, chance.choice((0.0, 0.0, 0.5))
        for _ in range(chance.randrange(1, 40)):
            world.pass_second(share, waited, chance.choice((0, 0, 3)))
            assert 2 <= world.size <= 5


def test_fewer_than_the_least_are_made_more() -> None:
    world = World(1, Bounds(3, 4))
    assert [world.pass_second(0.0) for _ in range(8)].count(1) == 2
    assert world.size == 3


def advise(processors: int, seconds: int, share: float, waited: float) -> list[str]:
    """What a settled fleet of one worker is told, second by second."""
    advice, load, said = Advice(processors, 0.0), Load(0.0, 0, 0.0), []
    for second in range(1, seconds + 1):
        load = Load(load.cpu + share, 0, load.waited + waited)
        said.append(advice.look(float(second), 1, {7: load}))
    return [each for each in said if each is not None]


def test_advice_is_given_once_after_ten_busy_seconds() -> None:
    assert advise(4, ADVISE_AFTER, 0.97, 0.5) == []  # the first look only begins
    [said] = advise(4, 60, 0.97, 0.5)
    assert said.startswith("more workers would help; requests wait and all workers compute workers=1 cpu=97% ")


@pytest.mark.parametrize(
    ("processors", "share", "waited"), [(1, 0.97, 0.5), (4, 0.97, 0.0), (4, 0.3, 0.9)], ids=["one", "no queue", "idle"]
)
def test_advice_is_not_given_where_more_workers_would_not_help(processors: int, share: float, waited: float) -> None:
    assert advise(processors, 60, share, waited) == []
