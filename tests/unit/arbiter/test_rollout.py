"""Reloads: the replacement first, one after the other; a version that cannot boot changes nothing."""

from __future__ import annotations

from signal import SIGKILL, SIGTERM

import pytest

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter.actions import Action
from hostler.arbiter.fleet import Fleet, FleetState
from hostler.arbiter.handle import WorkerState
from hostler.arbiter.life import CUT_GRACE
from hostler.arbiter.timing import Timing
from hostler.proc.signals import LEAVE
from tests.unit.helpers.stories import QUIT, TERM, TIMING, Story, deeds, logged
from tests.unit.helpers.worlds import World, slots

LONGER = TIMING._replace(graceful=99.0)


def hup(size: int = 2, batch: int = 1, timing: Timing = TIMING) -> ev.Reload:
    return ev.Reload("SIGHUP", size, timing, batch)


def test_one_after_the_other_each_when_its_replacement_is_ready() -> None:
    story = Story(2).serving()
    actions = story.on(hup(), 50.0)
    assert deeds(actions) == [do.Spawn(2)]
    assert logged(actions) == "reloading; each worker leaves when its replacement is ready reason=SIGHUP workers=2"
    assert slots(story) == {0: "retiring", 1: "ready", 2: "booting"}
    assert deeds(story.on(ev.Ready(103), 51.0)) == [do.Commit(), do.Signal(101, SIGTERM), do.Spawn(3)]
    assert slots(story) == {0: "draining", 1: "retiring", 2: "ready", 3: "booting"}
    assert deeds(story.on(ev.Ready(104), 52.0)) == [do.Signal(102, SIGTERM)]
    assert story.on(ev.Closed(102), 52.4) == []
    actions = story.on(ev.Closed(101), 52.5)
    assert deeds(actions) == [do.ReloadEnded(True, "reloaded workers=2 took=2.5s")]
    assert story.on(ev.Exited(101, 0), 53.0) == []
    assert story.on(ev.Exited(102, 0), 53.0) == []
    assert slots(story) == {2: "ready", 3: "ready"}


def test_an_urgent_one_turns_the_old_version_out() -> None:
    """Development: requests rather wait than see the old code."""
    story = Story(2).serving()
    actions = story.on(hup()._replace(is_urgent=True), 1.0)
    assert [do.Signal(101, SIGTERM), do.Signal(102, SIGTERM)] == [a for a in actions if isinstance(a, do.Signal)]
    assert do.Commit() in actions
    assert story.states() == ["draining", "draining", "booting", "booting"]
    actions = story.on(hup()._replace(is_urgent=True), 1.1)  # another save, while the first one is imported
    assert [do.Signal(103, SIGTERM), do.Signal(104, SIGTERM)] == [a for a in actions if isinstance(a, do.Signal)]
    for pid in (101, 102, 103, 104):
        story.on(ev.Exited(pid, 0), 1.2)
    assert story.states() == ["booting", "booting"]


def test_a_batch_goes_together() -> None:
    story = Story(3).serving()
    assert deeds(story.on(hup(3, batch=2), 50.0)) == [do.Spawn(3), do.Spawn(4)]
    assert deeds(story.on(ev.Ready(104), 51.0)) == [do.Commit(), do.Signal(101, SIGTERM), do.Spawn(5)]
    assert deeds(story.on(ev.Ready(105), 51.0)) == [do.Signal(102, SIGTERM)]
    assert deeds(story.on(ev.Ready(106), 52.0))[0] == do.Signal(103, SIGTERM)
    assert closed(story).fleet.rollout is None


@pytest.mark.parametrize("end", ["words", "death", "timeout"])
def test_version_that_cannot_boot_is_rolled_back(end: str) -> None:
    story = Story(2, TIMING._replace(boot=5.0)).serving()
    story.on(hup(2, timing=LONGER._replace(boot=5.0)), 50.0)
    if end == "words":
        actions = story.on(ev.BootFailed(103, True, "cannot load shop: SyntaxError"), 51.0)
    elif end == "death":
        actions = story.on(ev.Exited(103, -11), 51.0)
    else:
        actions = story.on(ev.Tick(), 55.0)
        assert do.Signal(103, SIGKILL) in actions
    assert do.Restore() in actions
    assert next(action for action in actions if isinstance(action, do.ReloadEnded)).is_done is False
    assert logged(actions).endswith("reload failed; those that served before serve on workers=2")
    if end != "death":
        story.on(ev.Exited(103, 4), 56.0)
    assert slots(story) == {0: "ready", 1: "ready"}
    assert story.fleet.timing.graceful == 30.0
    assert closed(story).fleet.rollout is None
    assert story.fleet.deadline() is None


def test_after_a_rollback_the_next_reload_works() -> None:
    story = Story(2).serving()
    story.on(hup(), 50.0)
    story.on(ev.BootFailed(103, True, "no"), 51.0)
    assert deeds(story.on(hup(), 52.0)) == []  # the failed one is still ending
    assert deeds(story.on(ev.Exited(103, 4), 52.1)) == [do.Spawn(2)]
    story.on(ev.Ready(104), 53.0)
    story.on(ev.Ready(105), 54.0)
    assert closed(story).fleet.rollout is None
    assert [worker.generation for worker in story.fleet.workers if worker.state is WorkerState.READY] == [2, 2]


def test_when_one_is_proven_a_failure_is_tried_again_while_the_old_serve() -> None:
    story = Story(2).serving()
    story.on(hup(), 50.0)
    story.on(ev.Ready(103), 51.0)
    actions = story.on(ev.Exited(104, -9), 52.0)
    assert deeds(actions) == [do.Spawn(3)]
    assert do.Restore() not in actions
    assert slots(story)[1] == "retiring"
    assert deeds(story.on(ev.Ready(105), 53.0))[0] == do.Signal(102, SIGTERM)
    assert closed(story).fleet.rollout is None


def test_old_worker_that_dies_meanwhile_is_replaced_by_the_new_version() -> None:
    story = Story(2).serving()
    story.on(hup(), 50.0)
    assert deeds(story.on(ev.Exited(102, -9), 50.5)) == [do.Spawn(1)]
    story.on(ev.Ready(103), 51.0)
    assert slots(story) == {0: "retiring", 1: "booting", 2: "ready"}
    assert deeds(story.on(ev.Ready(104), 51.0))[0] == do.Signal(101, SIGTERM)
    assert closed(story).fleet.rollout is None


def test_more_workers_at_once_fewer_when_proven() -> None:
    story = Story(1).serving()
    story.fleet.slots = 20
    assert deeds(story.on(hup(3), 50.0)) == [do.Spawn(1), do.Spawn(2)]
    for pid in (102, 103, 104):
        story.on(ev.Ready(pid), 51.0)
    assert closed(story).fleet.rollout is None
    assert slots(story) == {0: "draining", 1: "ready", 2: "ready", 3: "ready"}
    story.on(ev.Exited(101, 0), 51.5)
    assert deeds(story.on(hup(1), 60.0)) == [do.Spawn(0)]
    assert sum(state == "ready" for state in slots(story).values()) == 2
    story.on(ev.Ready(105), 61.0)
    assert slots(story) == {0: "ready", 1: "draining", 2: "draining", 3: "draining"}
    assert closed(story).fleet.rollout is None


def test_growth_that_cannot_boot_goes_back_to_the_old_number() -> None:
    story = Story(1).serving()
    story.fleet.slots = 20
    story.on(hup(3), 50.0)
    story.on(ev.Exited(102, 1), 51.0)
    assert (story.fleet.size, slots(story)) == (1, {0: "ready", 2: "draining"})


def test_a_reload_while_one_is_on_its_way_begins_again() -> None:
    story = Story(2).serving()
    story.on(hup(), 50.0)
    story.on(ev.Ready(103), 51.0)
    story.on(hup(), 51.5)
    for pid, now in ((104, 52.0), (105, 53.0), (106, 54.0)):
        story.on(ev.Ready(pid), now)
        for worker in list(story.fleet.workers):
            if worker.state is WorkerState.DRAINING:
                story.on(ev.Exited(worker.pid, 0), now)
    assert closed(story).fleet.rollout is None
    assert {worker.generation for worker in story.fleet.workers} == {2}


def test_where_nobody_serves_a_reload_is_another_try() -> None:
    story = Story(1).serving()
    story.on(ev.Exited(101, -9), 50.0)
    story.on(ev.Exited(102, 1), 50.0)
    story.on(ev.Exited(103, 1), 50.0)
    assert slots(story) == {0: "backoff"}
    assert deeds(story.on(hup(1), 50.1)) == [do.Spawn(0)]
    actions = story.on(ev.BootFailed(104, True, "still broken"), 50.2)
    assert do.Restore() not in actions
    story.on(ev.Exited(104, 4), 50.3)
    story.on(ev.Tick(), 99.0)
    assert do.Commit() in story.on(ev.Ready(105), 99.5)
    assert closed(story).fleet.rollout is None


def test_before_anybody_is_ready_a_reload_waits() -> None:
    story = Story(1)
    story.on(ev.Start(), 0.0)
    assert deeds(story.on(hup(1), 0.5)) == []
    assert deeds(story.on(ev.Ready(101), 1.0)) == [do.Announce(), do.Spawn(1)]


def test_a_worker_that_wants_to_retire_goes_whatever_becomes_of_the_reload() -> None:
    story = Story(1).serving()
    story.on(hup(1), 50.0)
    story.on(ev.Retire(101, "GET /slow runs for 30s"), 50.5)
    story.on(ev.BootFailed(102, True, "no"), 51.0)
    assert slots(story)[0] == "retiring"
    assert deeds(story.on(ev.Exited(102, 4), 51.0)) == [do.Spawn(1)]


@pytest.mark.parametrize("end", [TERM, QUIT])
def test_stop_ends_a_reload(end: ev.Stop | ev.Quit) -> None:
    story = Story(1).serving()
    story.on(hup(1), 50.0)
    assert do.ReloadEnded(False, "the server is stopping") in story.on(end, 50.5)
    assert do.Restore() in story.on(hup(1), 50.6)
    for pid in (101, 102):
        story.on(ev.Exited(pid, 0), 51.0)
    assert story.fleet.state is FleetState.ENDED


# --- Limits that are reached ---


def test_workers_that_are_worn_together_are_replaced_one_after_the_other() -> None:
    story = Story(2).serving()
    actions = story.on(ev.Renew(101, "it has served for 60s"), 60.0)
    assert (deeds(actions), logged(actions)) == (
        [do.Spawn(2)],
        'worker replaced worker=0 pid=101 reason="it has served for 60s"',
    )
    assert deeds(story.on(ev.Renew(102, "it has served for 60s"), 60.0)) == []
    assert slots(story) == {0: "retiring", 1: "ready", 2: "booting"}
    assert deeds(story.on(ev.Ready(103), 61.0)) == [do.Signal(101, SIGTERM), do.Spawn(3)]
    assert deeds(story.on(ev.Ready(104), 62.0)) == [do.Signal(102, SIGTERM)]
    story.on(ev.Exited(101, 0), 62.5)
    story.on(ev.Exited(102, 0), 62.5)
    assert slots(story) == {2: "ready", 3: "ready"}


def test_a_worn_worker_that_dies_is_not_worn_any_more() -> None:
    story = Story(2).serving()
    story.on(ev.Renew(101, "old"), 60.0)
    story.on(ev.Renew(102, "old"), 60.0)
    assert deeds(story.on(ev.Exited(102, -9), 60.5)) == [do.Spawn(1)]
    story.on(ev.Ready(103), 61.0)
    story.on(ev.Ready(104), 61.0)
    assert slots(story) == {0: "draining", 1: "ready", 2: "ready"}


def test_limit_that_a_worker_reports_again_and_again_is_logged_once() -> None:
    story = Story(2).serving()
    assert logged(story.on(ev.Renew(101, "old"), 60.0)) == "worker replaced worker=0 pid=101 reason=old"
    assert logged(story.on(ev.Renew(101, "old"), 60.1)) == ""


def test_worn_again_right_after_the_boot_is_slower_and_slower() -> None:
    story = Story(1).serving()
    now, pid, waits = 10.0, 101, []
    for _ in range(5):
        story.on(ev.Ready(pid), now) if pid > 101 else None
        for worker in [each for each in story.fleet.workers if each.state is WorkerState.DRAINING]:
            story.on(ev.Exited(worker.pid, 0), now)
        story.on(ev.Renew(pid, "too large"), now + 0.1)
        due = [each.due for each in story.fleet.workers if each.state is WorkerState.BACKOFF]
        waits.append(due[0] - now - 0.1 if due and due[0] is not None else 0.0)
        now = now + 0.1 + waits[-1]
        if waits[-1]:
            story.on(ev.Tick(), now)
        pid += 1
    assert [round(wait, 3) for wait in waits] == [0.0, 0.0, 0.25, 0.5, 1.0]


# --- The number of workers ---


def test_one_more_and_one_less() -> None:
    story = Story(1).serving()
    story.fleet.slots = 20
    actions = story.on(ev.Resize("SIGTTIN", 1), 50.0)
    assert (deeds(actions), logged(actions)) == ([do.Spawn(1)], "workers scaled reason=SIGTTIN workers=2 before=1")
    story.on(ev.Ready(102), 51.0)
    actions = story.on(ev.Resize("SIGTTOU", -1), 52.0)
    assert deeds(actions) == [do.Signal(101, LEAVE)], "the oldest goes"
    assert slots(story) == {0: "draining", 1: "ready"}


def surplus(slots: int = 20) -> Story:
    """Worker 101 leaves without a deadline; 102 serves."""
    story = Story(2).serving()
    story.fleet.slots = slots
    story.on(ev.Resize("SIGTTOU", -1), 52.0)
    return story


def test_surplus_worker_has_no_deadline() -> None:
    story = surplus()
    assert story.fleet.deadline() in (None, story.fleet.look_at)
    assert [each for each in deeds(story.on(ev.Tick(), 1e6)) if not isinstance(each, do.Look)] == []


@pytest.mark.parametrize("event", [ev.Renew(101, "memory"), ev.Retire(101, "why"), ev.Resize("SIGTTIN", 9)])
def test_surplus_worker_gets_a_deadline_when_it_has_to_go(event: ev.Event) -> None:
    story = surplus(slots=20)
    assert do.Signal(101, SIGTERM) in story.on(event, 60.0)
    assert do.Signal(101, SIGTERM) not in story.on(ev.Tick(), 61.0)
    killed = story.on(ev.Tick(), 60.0 + TIMING.graceful + CUT_GRACE)
    assert do.Signal(101, SIGKILL) in killed


def test_surplus_worker_gets_a_deadline_when_a_reload_is_proven() -> None:
    story = surplus()
    assert do.Signal(101, SIGTERM) not in story.on(hup(1), 60.0)
    assert do.Signal(101, SIGTERM) in story.on(ev.Ready(103), 61.0)


def test_surplus_workers_keep_no_place_from_successors() -> None:
    story = surplus()
    actions = story.on(ev.Retire(102, "slow"), 60.0)
    assert [each for each in actions if isinstance(each, do.Spawn)]


def test_who_is_not_ready_goes_first() -> None:
    story = Story(1).serving()
    story.fleet.slots = 20
    story.on(ev.Resize("SIGTTIN", 1), 50.0)
    assert deeds(story.on(ev.Resize("SIGTTOU", -1), 50.1)) == [do.Signal(102, SIGTERM)]
    story.on(ev.Resize("SIGTTIN", 1), 50.2)
    story.on(ev.Exited(102, -SIGTERM), 50.3)
    assert slots(story) == {0: "ready", 2: "booting"} or slots(story) == {0: "ready", 1: "booting"}


def test_there_is_always_one_and_never_more_than_there_is_room_for() -> None:
    story = Story(1).serving()
    story.fleet.slots = 4
    assert (
        logged(story.on(ev.Resize("SIGTTOU", -1), 50.0))
        == "workers not scaled; there is one worker reason=SIGTTOU workers=1"
    )
    story.on(ev.Resize("SIGTTIN", 1), 50.0)
    said = logged(story.on(ev.Resize("SIGTTIN", 1), 50.0))
    assert said == "workers not scaled; there is room for no more reason=SIGTTIN workers=2"


# --- Whatever happens, in whichever order ---


def closed(story: Story) -> Story:
    """All that were told to drain accept no more."""
    for worker in story.fleet.workers:
        if worker.state is WorkerState.DRAINING:
            story.on(ev.Closed(worker.pid), 62.0)
    return story


class Reloading(World):
    """Reloads and changes of the number among all that may happen."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.fleet = Fleet(self.fleet.size, self.fleet.timing, 24)

    def perform(self, action: Action) -> list[ev.Event]:
        if isinstance(action, do.Signal) and action.number in (SIGTERM, LEAVE) and self.fleet.is_up():
            self.check_relief(action.pid)
        return super().perform(action)

    def check_relief(self, pid: int) -> None:
        """A worker that is told to go leaves as many behind as shall serve, or was not serving."""
        if pid in self.ready and LEAVE not in self.signals.get(pid, ()):
            serving = (WorkerState.READY, WorkerState.RETIRING, WorkerState.SILENT)
            others = [each for each in self.fleet.workers if each.pid != pid and each.state in serving]
            assert len(others) >= self.fleet.size

    def check(self) -> None:
        fleet = self.fleet
        assert {each.slot: each.pid for each in fleet.workers if each.pid} == {
            at: pid for pid, at in self.slots.items()
        }
        assert len(fleet.workers) <= fleet.slots
        if self.exit_code is None and fleet.is_up():
            gone = {WorkerState.RETIRING, WorkerState.SILENT, WorkerState.DRAINING, WorkerState.KILLED}
            staying = [each for each in fleet.workers if each.state not in gone]
            assert len([each for each in staying if each.state is not WorkerState.FAILED]) <= fleet.size
            assert len(staying) >= fleet.size or len(fleet.workers) >= 2 * fleet.size

    def live(self) -> None:
        kind = self.chance.randrange(20)
        if kind == 2 and self.ready.intersection(self.slots):
            self.on(ev.Renew(self.chance.choice(sorted(self.ready.intersection(self.slots))), "old"))
            return
        told = [pid for pid in self.slots if {SIGTERM, LEAVE} & {*self.signals.get(pid, ())} and pid in self.ready]
        if told and kind > 15:
            self.on(ev.Closed(self.chance.choice(told)))
            return
        if kind == 0:
            self.on(hup(self.chance.choice((1, 2, 3, 4)), self.chance.choice((1, 2)), self.fleet.timing))
        elif kind == 1 and self.fleet.state is not FleetState.NEW:
            self.on(ev.Resize("SIGTTIN", self.chance.choice((-1, 1))))
        else:
            super().live()

    def settle(self) -> None:
        """From here all goes well."""
        self.frozen.clear()
        for _ in range(400):
            if self.exit_code is not None:
                return
            for pid in list(self.slots):
                if {SIGKILL, SIGTERM, LEAVE} & {*self.signals.get(pid, ())}:
                    self.die(pid, 0)
                elif pid in self.last_words:
                    self.die(pid, self.last_words[pid])
                elif pid not in self.ready:
                    self.ready.add(pid)
                    self.on(ev.Ready(pid))
            self.wait()


@pytest.mark.parametrize("seed", range(400))
def test_whatever_happened_the_newest_version_serves_in_the_end(seed: int) -> None:
    world = Reloading(seed)
    world.on(ev.Start())
    for _ in range(world.chance.randrange(160)):
        if world.exit_code is None:
            world.live()
    world.settle()
    fleet = world.fleet
    if world.exit_code is None:
        assert fleet.rollout is None
        assert [(each.state, each.generation) for each in fleet.workers] == [
            (WorkerState.READY, fleet.generation)
        ] * fleet.size
