"""Workers that are replaced while they serve: those that want to retire, and those that have fallen silent."""

from __future__ import annotations

from signal import SIGKILL, SIGQUIT, SIGTERM
from typing import Any

import pytest

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter.actions import Action
from hostler.arbiter.fleet import FleetState
from hostler.arbiter.handle import WorkerState
from hostler.arbiter.life import BOOT_ATTEMPTS, CUT_GRACE, QUIT_GRACE
from tests.unit.helpers.stories import QUIT, TERM, TIMING, Story, deeds, logged
from tests.unit.helpers.worlds import World, slots

WATCHED = TIMING._replace(silence=8.0)  # a look every 2 s


# --- Retire ---


def test_retiring_worker_serves_until_another_one_is_ready() -> None:
    story = Story(2).serving()
    actions = story.on(ev.Retire(101, "GET /slow runs for 30s"), 50.0)
    assert deeds(actions) == [do.Spawn(2)]
    assert logged(actions) == 'worker replaced worker=0 pid=101 reason="GET /slow runs for 30s"'
    assert slots(story) == {0: "retiring", 1: "ready", 2: "booting"}
    assert story.fleet.is_serving()
    actions = story.on(ev.Ready(103), 51.0)
    assert deeds(actions) == [do.Signal(101, SIGTERM)]
    assert "worker ready worker=2 pid=103" in logged(actions)
    assert slots(story) == {0: "draining", 1: "ready", 2: "ready"}
    assert story.on(ev.Exited(101, 0), 52.0) == []
    assert slots(story) == {1: "ready", 2: "ready"}


def test_free_slot_is_used_again() -> None:
    story = Story().serving()
    for pid, slot in ((101, 1), (102, 0), (103, 1), (104, 0)):
        now = 10.0 * pid
        assert deeds(story.on(ev.Retire(pid, "old"), now)) == [do.Spawn(slot)]
        story.on(ev.Ready(pid + 1), now + 1.0)
        story.on(ev.Exited(pid, 0), now + 2.0)
    assert slots(story) == {0: "ready"}


def test_second_wish_to_retire_is_the_first() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    assert story.on(ev.Retire(101, "slower"), 50.1) == []
    assert slots(story) == {0: "retiring", 1: "booting"}


def test_retired_worker_that_does_not_drain_in_time_is_named_and_killed() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    story.on(ev.Ready(102), 51.0)
    assert story.fleet.deadline() == 51.0 + 30.0 + CUT_GRACE
    assert deeds(story.on(ev.Tick(), 81.0 + CUT_GRACE)) == [do.NameCut(0), do.Signal(101, SIGKILL)]
    assert story.on(ev.Exited(101, -SIGKILL), 82.1) == []
    assert slots(story) == {1: "ready"}


def test_replacement_that_cannot_boot_is_tried_on_while_the_old_one_serves() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    now, pid, waits = 50.0, 102, []
    for _ in range(2 * BOOT_ATTEMPTS):
        story.on(ev.BootFailed(pid, True, "cannot load"), now)
        story.on(ev.Exited(pid, 4), now)
        deadline = story.fleet.deadline()
        waits.append(0.0 if deadline is None else deadline - now)
        if deadline is not None:
            now = deadline
            assert deeds(story.on(ev.Tick(), now)) == [do.Spawn(1)]
        pid += 1
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert story.fleet.state is FleetState.SERVING
    assert slots(story) == {0: "retiring", 1: "booting"}
    assert deeds(story.on(ev.Ready(pid), now)) == [do.Signal(101, SIGTERM)]


def test_old_one_that_dies_meanwhile_leaves_its_place_to_the_new_one() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    actions = story.on(ev.Exited(101, -SIGKILL), 50.5)
    assert deeds(actions) == []
    assert "worker died before it was replaced worker=0 pid=101 signal=SIGKILL" in logged(actions)
    assert slots(story) == {1: "booting"}
    assert deeds(story.on(ev.Ready(102), 51.0)) == []
    assert slots(story) == {1: "ready"}


def test_old_one_that_dies_while_the_new_one_waits_for_its_next_try() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    story.on(ev.Exited(102, 1), 50.0)
    story.on(ev.Exited(103, 1), 50.0)
    assert slots(story) == {0: "retiring", 1: "backoff"}
    story.on(ev.Exited(101, 0), 50.1)
    assert deeds(story.on(ev.Tick(), 50.25)) == [do.Spawn(1)]
    assert slots(story) == {1: "booting"}


def test_dead_neighbour_is_replaced_before_the_retiring_one_may_go() -> None:
    """Which of the new ones is whose successor does not matter: the number that serves does."""
    story = Story(2).serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    story.on(ev.Exited(102, -11), 50.5)
    assert slots(story) == {0: "retiring", 1: "booting", 2: "booting"}
    assert deeds(story.on(ev.Ready(103), 51.0)) == []
    assert deeds(story.on(ev.Ready(104), 52.0)) == [do.Signal(101, SIGTERM)]


def test_all_retire_at_once() -> None:
    story = Story(2).serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    story.on(ev.Retire(102, "slow"), 50.0)
    assert slots(story) == {0: "retiring", 1: "retiring", 2: "booting", 3: "booting"}
    assert deeds(story.on(ev.Ready(104), 51.0)) == [do.Signal(101, SIGTERM)]
    assert deeds(story.on(ev.Ready(103), 51.0)) == [do.Signal(102, SIGTERM)]


def test_without_a_free_slot_the_worker_goes_on_until_there_is_one() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    story.on(ev.Ready(102), 51.0)
    assert deeds(story.on(ev.Retire(102, "slow"), 60.0)) == []
    assert slots(story) == {0: "draining", 1: "retiring"}
    assert deeds(story.on(ev.Exited(101, 0), 65.0)) == [do.Spawn(0)]
    assert deeds(story.on(ev.Ready(103), 66.0)) == [do.Signal(102, SIGTERM)]


def test_retiring_worker_that_dies_without_a_free_slot_frees_its_own() -> None:
    story = Story().serving()
    story.on(ev.Retire(101, "slow"), 50.0)
    story.on(ev.Ready(102), 51.0)
    story.on(ev.Retire(102, "slow"), 60.0)
    assert deeds(story.on(ev.Exited(102, 1), 61.0)) == [do.Spawn(1)]
    assert slots(story) == {0: "draining", 1: "booting"}


def test_who_retires_right_after_the_boot_is_replaced_slower_and_slower() -> None:
    story = Story().serving()
    now, pid, waits = 0.0, 101, []
    for _ in range(5):
        story.on(ev.Retire(pid, "too big"), now)
        waits.append((story.fleet.deadline() or now) - now)
        now += waits[-1]
        story.on(ev.Tick(), now)
        pid += 1
        story.on(ev.Ready(pid), now)
        story.on(ev.Exited(pid - 1, 0), now)
    assert waits == [0.0, 0.25, 0.5, 1.0, 2.0]
    assert deeds(story.on(ev.Retire(pid, "slow"), now + 1.0)) == [do.Spawn(0)]


# --- Silence ---


def watched(size: int = 1) -> Story:
    """A fleet that serves, whose hearts beat once, at 0."""
    story = Story(size, WATCHED).serving()
    story.beats = {101 + index: 1 for index in range(size)}
    look(story, 2.0)
    return story


def look(story: Story, now: float) -> list[Action]:
    assert story.fleet.deadline() == now
    return [action for action in story.on(ev.Tick(), now) if not isinstance(action, do.Look)]


def silent(size: int = 1) -> Story:
    """A fleet whose first worker is silent, since 10.0."""
    story = watched(size)
    for now in (4.0, 6.0, 8.0, 10.0):
        story.beats.update((pid, int(now)) for pid in story.beats if pid != 101)
        look(story, now)
    return story


def test_nobody_is_watched_without_a_limit() -> None:
    story = Story().serving()
    assert story.fleet.deadline() is None


def test_nobody_is_watched_before_and_after_the_fleet_serves() -> None:
    story = Story(1, WATCHED)
    story.on(ev.Start())
    assert story.fleet.deadline() is None
    story.on(ev.Ready(101))
    assert story.fleet.deadline() == 2.0
    story.on(TERM, 1.0)
    story.on(ev.Tick(), 1.1)
    assert story.fleet.deadline() == 1.1 + 30.0 + CUT_GRACE


def test_silence_is_the_same_beat_in_four_looks() -> None:
    story = watched()
    for now in (4.0, 6.0, 8.0):
        assert look(story, now) == []
        assert slots(story) == {0: "ready"}
    actions = look(story, 10.0)
    assert actions == [do.Diagnose(0, 101, 8.0), do.Spawn(1)]
    assert slots(story) == {0: "silent", 1: "booting"}
    assert not story.fleet.is_serving()


def test_beat_between_the_looks_begins_the_count_again() -> None:
    story = watched()
    for now, beat in ((4.0, 1), (6.0, 1), (8.0, 1), (10.0, 2), (12.0, 2), (14.0, 2), (16.0, 2), (18.0, 3)):
        story.beats[101] = beat
        assert look(story, now) == []
    assert slots(story) == {0: "ready"}


def test_machine_that_slept_is_one_look() -> None:
    story = watched()
    look(story, 4.0)
    assert story.on(ev.Tick(), 5000.0) == [do.Look()]
    assert story.fleet.deadline() == 5002.0
    assert slots(story) == {0: "ready"}


def test_worker_that_never_beats_is_silent() -> None:
    story = Story(1, WATCHED).serving()
    story.beats = {101: 0}
    for now in (2.0, 4.0, 6.0):
        assert look(story, now) == []
    assert do.Diagnose(0, 101, 8.0) in look(story, 8.0)


def test_new_worker_in_an_old_slot_begins_its_own_count() -> None:
    story = watched()
    look(story, 4.0)
    look(story, 6.0)
    look(story, 8.0)
    story.on(ev.Exited(101, -9), 9.0)
    story.on(ev.Ready(102), 9.5)
    story.beats = {102: 0}
    assert look(story, 10.0) == []
    assert slots(story) == {0: "ready"}


def test_booting_worker_is_not_watched() -> None:
    story = watched()
    story.on(ev.Exited(101, -9), 3.0)
    story.beats = {102: 0}
    for now in (4.0, 6.0, 8.0, 10.0, 12.0):
        assert look(story, now) == []
    assert slots(story) == {0: "booting"}


def test_silent_worker_is_killed_when_another_one_is_ready() -> None:
    story = silent(2)
    assert slots(story) == {0: "silent", 1: "ready", 2: "booting"}
    actions = story.on(ev.Ready(103), 11.0)
    assert deeds(actions) == [do.NameCut(0), do.Signal(101, SIGKILL)]
    assert "worker killed; it is silent still worker=0 pid=101" in logged(actions)
    assert story.on(ev.Exited(101, -SIGKILL), 11.1) == []
    assert slots(story) == {1: "ready", 2: "ready"}


def test_silent_worker_is_killed_after_as_long_again_whatever_worker_is_ready() -> None:
    story = silent()
    story.beats = {101: 1}
    look(story, 12.0)
    look(story, 14.0)
    look(story, 16.0)
    actions = look(story, 18.0)
    assert deeds(actions) == [do.NameCut(0), do.Signal(101, SIGKILL)]
    assert story.on(ev.Exited(101, -SIGKILL), 18.1) == []
    assert slots(story) == {1: "booting"}


def test_silent_worker_that_is_killed_without_a_free_slot_leaves_its_own() -> None:
    story = watched()
    story.on(ev.Retire(101, "slow"), 3.0)
    story.on(ev.Ready(102), 3.0)
    story.beats = {101: 1, 102: 1}
    for now in (4.0, 6.0, 8.0, 10.0, 12.0):
        actions = look(story, now)
    assert actions == [do.Diagnose(1, 102, 8.0)]
    assert slots(story) == {0: "draining", 1: "silent"}
    for now in (14.0, 16.0, 18.0, 20.0):
        story.on(ev.Tick(), now)
    assert slots(story) == {0: "draining", 1: "killed"}
    assert deeds(story.on(ev.Exited(102, -SIGKILL), 20.1)) == [do.Spawn(1)]


def test_silent_worker_that_runs_again_is_drained_when_another_one_is_ready() -> None:
    story = silent()
    story.beats[101] = 2
    actions = look(story, 12.0)
    assert "worker runs again; it is replaced all the same worker=0 pid=101" in logged(actions)
    assert slots(story) == {0: "retiring", 1: "booting"}
    assert deeds(story.on(ev.Ready(102), 13.0)) == [do.Signal(101, SIGTERM)]


def test_retiring_worker_can_fall_silent_and_has_one_successor() -> None:
    story = watched()
    story.on(ev.Retire(101, "slow"), 3.0)
    for now in (4.0, 6.0, 8.0):
        assert look(story, now) == []
    assert look(story, 10.0) == [do.Diagnose(0, 101, 8.0)]
    assert slots(story) == {0: "silent", 1: "booting"}
    assert deeds(story.on(ev.Ready(102), 11.0)) == [do.NameCut(0), do.Signal(101, SIGKILL)]


def test_silent_ones_go_before_retiring_ones() -> None:
    story = watched(2)
    story.beats = {101: 1, 102: 1}
    story.on(ev.Retire(101, "slow"), 3.0)
    for now in (4.0, 6.0, 8.0, 10.0):
        story.beats[101] = int(now)
        look(story, now)
    assert slots(story) == {0: "retiring", 1: "silent", 2: "booting", 3: "booting"}
    assert do.Signal(102, SIGKILL) in story.on(ev.Ready(103), 11.0)
    assert deeds(story.on(ev.Ready(104), 11.0)) == [do.Signal(101, SIGTERM)]


def test_word_that_came_before_the_silence_is_heard_and_ignored() -> None:
    story = silent()
    assert story.on(ev.Retire(101, "slow"), 10.1) == []


def test_silent_worker_that_dies_leaves_its_place_to_the_new_one() -> None:
    story = silent()
    assert deeds(story.on(ev.Exited(101, -SIGKILL), 10.5)) == []
    assert slots(story) == {1: "booting"}


def test_nobody_left_and_the_app_is_broken_is_given_up() -> None:
    """A silent worker serves nobody: a closed port is better."""
    story = silent()
    now, pid = 10.0, 102
    for _ in range(BOOT_ATTEMPTS):
        story.on(ev.BootFailed(pid, True, "cannot load"), now)
        story.on(ev.Exited(pid, 4), now)
        if story.fleet.state is FleetState.SERVING:
            now += 1.0
            story.on(ev.Tick(), now)
        pid += 1
    assert story.fleet.state is FleetState.QUITTING


# --- Stop, at any of these moments ---


def retiring(size: int = 1) -> Story:
    story = Story(size, WATCHED).serving()
    story.on(ev.Retire(101, "slow"), 1.5)
    return story


def waiting() -> Story:
    """The successor waits for its next try."""
    story = retiring()
    story.on(ev.Exited(102, 1), 1.5)
    story.on(ev.Exited(103, 1), 1.5)
    return story


def draining() -> Story:
    story = retiring()
    story.on(ev.Ready(102), 1.6)
    return story


def killed() -> Story:
    story = silent()
    story.on(ev.Ready(102), 11.0)
    return story


MOMENTS = [retiring, waiting, draining, silent, killed]


@pytest.mark.parametrize("moment", MOMENTS)
def test_stop_drains_all_and_replaces_nobody(moment: Any) -> None:
    story = moment()
    story.on(TERM, 20.0)
    actions = story.on(ev.Tick(), 20.1)
    assert not any(isinstance(action, do.Spawn) for action in actions)
    assert {worker.state for worker in story.fleet.workers} <= {WorkerState.DRAINING, WorkerState.KILLED}
    pids = [worker.pid for worker in story.fleet.workers]
    for pid in pids[:-1]:
        assert deeds(story.on(ev.Exited(pid, 0), 21.0)) == []
    assert deeds(story.on(ev.Exited(pids[-1], 0), 21.0)) == [do.Exit(0)]


@pytest.mark.parametrize("moment", MOMENTS)
def test_quit_is_quick_and_has_a_deadline(moment: Any) -> None:
    story = moment()
    before = {worker.pid: worker.state for worker in story.fleet.workers if worker.pid}
    actions = story.on(QUIT, 20.0)
    told = [pid for pid, state in before.items() if state is not WorkerState.KILLED]
    assert deeds(actions) == [do.CloseListeners(), *(do.Signal(pid, SIGQUIT) for pid in told)]
    killed = [action for action in story.on(ev.Tick(), 20.0 + QUIT_GRACE) if isinstance(action, do.Signal)]
    assert killed == [do.Signal(pid, SIGKILL) for pid in told]
    *others, last = before
    for pid in others:
        assert deeds(story.on(ev.Exited(pid, -SIGKILL), 21.0)) == []
    assert deeds(story.on(ev.Exited(last, -SIGKILL), 21.0)) == [do.Exit(0)]


def test_words_that_cross_with_the_stop_are_heard_and_ignored() -> None:
    story = Story(2).serving()
    story.on(TERM, 10.0)
    assert story.on(ev.Retire(101, "slow"), 10.05) == []
    story.on(ev.Tick(), 10.1)
    assert story.on(ev.Retire(101, "slow"), 10.2) == []
    assert story.states() == ["draining", "draining"]


# --- Whatever happens, in whichever order ---


@pytest.mark.parametrize("seed", range(300))
def test_no_order_of_events_is_impossible_or_leaves_a_gap(seed: int) -> None:
    world = World(seed)
    world.on(ev.Start())
    for _ in range(world.chance.randrange(120)):
        if world.exit_code is None:
            world.live()
    if world.exit_code is None:
        world.on(TERM if world.chance.random() < 0.5 else QUIT)
    # From here nobody needs to do anything: deadlines alone must end it.
    for _ in range(50):
        for pid in [pid for pid in world.slots if SIGKILL in world.signals.get(pid, ())]:
            world.die(pid, -SIGKILL)
        deadline = world.fleet.deadline()
        if world.exit_code is None and deadline is not None:
            world.now = max(world.now, deadline)
            world.on(ev.Tick())
    assert world.exit_code is not None
    assert world.slots == {}
