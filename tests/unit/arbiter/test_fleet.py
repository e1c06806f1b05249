"""The fleet's decisions: every pair of state and event, then whole stories, all with made-up times."""

from __future__ import annotations

import copy
import re
from signal import SIGKILL, SIGQUIT, SIGTERM, SIGUSR1
from typing import Any

import pytest

from hostler.arbiter import actions as do
from hostler.arbiter import events as ev
from hostler.arbiter import life as module
from hostler.arbiter.fleet import FLEET, ONE_STOP, Fleet, FleetState, ImpossibleEvent
from hostler.arbiter.handle import WorkerState
from hostler.arbiter.life import BOOT_ATTEMPTS, CUT_GRACE, FAILED_GRACE, QUIT_GRACE, WORKER
from hostler.arbiter.timing import Timing
from tests.unit.helpers.stories import QUIT, TERM, TIMING, Story, deeds, logged


def snapshot(fleet: Fleet) -> Any:
    """All that a fleet knows, comparable."""
    workers = [{name: getattr(worker, name) for name in worker.__slots__} for worker in fleet.workers]
    rest = {name: value for name, value in vars(fleet).items() if name != "workers"}
    return copy.deepcopy((workers, rest))


# --- The tables are whole ---

EVENTS: list[Any] = [
    ev.Start(), ev.Started(0, 7), ev.SpawnFailed(0, "why"), ev.Ready(7), ev.BootFailed(7, True, "why"),
    ev.Exited(7, 0), TERM, QUIT, ev.Reopen(), ev.Tick(), ev.Due(), ev.Opened(), ev.GiveUp(3, "why"),
    ev.Retire(7, "why"), ev.Look({7: 1}), ev.Silent(), ev.Beats(), ev.Relieved(), ev.Outdated(), ev.Kept(),
    ev.Surplus(), ev.Reload("HUP", 1, TIMING), ev.Resize("TTIN", 1), ev.ReloadFailed("why"), ev.Closed(7),
    ev.Left("why"), ev.Renew(7, "why"), ev.Importable(), ev.Hurried(),
]  # fmt: skip
ABOUT_WORKERS = (ev.Started, ev.SpawnFailed, ev.Ready, ev.BootFailed, ev.Retire, ev.Renew, ev.Closed, ev.Exited)


def name(value: Any) -> str:
    return value.value if isinstance(value, WorkerState | FleetState) else type(value).__name__


# The pairs that have a rule, written here once more: a row that is lost in the tables is missed.
OF_WORKERS = {
    "vacant": "Started SpawnFailed Stop Quit",
    "booting": "Ready BootFailed Exited Due Surplus Hurried Stop Quit",
    "ready": "Exited Retire Outdated Surplus Hurried Silent Stop Quit Renew Closed",
    "retiring": "Retire Kept Silent Relieved Exited Stop Quit Renew Closed",
    "silent": "Retire Beats Relieved Due Exited Stop Quit Renew Closed",
    "failed": "Ready BootFailed Retire Exited Due Stop Quit Renew",
    "backoff": "Due Surplus Stop Quit",
    "closing": "Due Retire Exited Quit Renew Closed",
    "draining": "Ready BootFailed Retire Hurried Exited Due Stop Quit Renew Closed",
    "killed": "Ready BootFailed Retire Exited Stop Quit Renew Closed",
}
OF_FLEETS = {
    "new": "Start Resize GiveUp Stop Quit Importable Tick Reopen",
    "starting": "Opened Reload Resize GiveUp Stop Quit Importable Tick Reopen",
    "serving": "Look Reload ReloadFailed Resize GiveUp Stop Quit Importable Tick Reopen",
    "leaving": "Look Reload Resize GiveUp Left Stop Quit Importable Tick Reopen",
    "stopping": "Stop Quit Reload Resize Importable Tick Reopen",
    "quitting": "Stop Quit Reload Resize Importable Tick Reopen",
}


def has_rule(table: dict[str, str], state: WorkerState | FleetState, event: Any) -> bool:
    return type(event).__name__ in table.get(state.value, "").split()


@pytest.mark.parametrize(("table", "rules"), [(OF_WORKERS, WORKER), (OF_FLEETS, FLEET)], ids=["workers", "fleets"])
def test_every_pair_that_can_happen_has_its_rule(table: dict[str, str], rules: Any) -> None:
    assert {(state.value, event.__name__) for state, event in rules} == {
        (state, event) for state, events in table.items() for event in events.split()
    }


@pytest.mark.parametrize(
    ("state", "event"),
    [(state, event) for state in WorkerState for event in EVENTS if not has_rule(OF_WORKERS, state, event)],
    ids=name,
)
def test_unknown_pair_of_worker_raises_and_changes_nothing(state: WorkerState, event: Any) -> None:
    fleet = Fleet(1, TIMING)
    fleet.state = FleetState.SERVING
    fleet.workers[0].state = state
    fleet.workers[0].pid = 7
    before = snapshot(fleet)
    with pytest.raises(ImpossibleEvent, match=f"while worker=0 .*is {state.value}"):
        fleet.step_worker(fleet.workers[0], event, 1.0)
    assert snapshot(fleet) == before


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (state, event)
        for state in FleetState
        for event in EVENTS
        if not has_rule(OF_FLEETS, state, event) and not isinstance(event, ABOUT_WORKERS)
    ],
    ids=name,
)
def test_unknown_pair_of_fleet_raises_and_changes_nothing(state: FleetState, event: Any) -> None:
    fleet = Fleet(1, TIMING)
    fleet.state = state
    before = snapshot(fleet)
    with pytest.raises(ImpossibleEvent, match=f"while the fleet is {state.value}"):
        fleet.on(event, 1.0)
    assert snapshot(fleet) == before


@pytest.mark.parametrize(
    ("event", "fits"),
    [(ev.Retire(101, ""), True), (ev.Ready(101), False), (ev.BootFailed(101, True, ""), False), (ev.Ready(5), False)],
)
def test_event_fits_when_its_pair_is_known_and_asking_changes_nothing(event: ev.Event, fits: bool) -> None:
    story = Story().serving()
    before = snapshot(story.fleet)
    assert story.fleet.fits(event) is fits
    assert snapshot(story.fleet) == before


@pytest.mark.parametrize(
    "event",
    [ev.Ready(5), ev.BootFailed(5, True, ""), ev.Retire(5, ""), ev.Exited(5, 0), ev.Started(3, 5)],
)
def test_unknown_worker_raises_and_changes_nothing(event: ev.Event) -> None:
    story = Story().serving()
    before = snapshot(story.fleet)
    with pytest.raises(ImpossibleEvent, match="no such worker"):
        story.fleet.on(event, 1.0)
    assert snapshot(story.fleet) == before


def test_slots_without_a_process_are_not_found_by_pid_zero() -> None:
    story = Story(2)
    story.on(ev.Start())
    story.on(ev.Exited(101, -9))
    with pytest.raises(ImpossibleEvent, match="no such worker"):
        story.fleet.on(ev.Exited(0, 0), 1.0)


def test_every_worker_can_be_told_to_quit() -> None:
    """One that is gone is forgotten before the next event."""
    assert {state for state in WorkerState if (state, ev.Quit) not in WORKER} == {WorkerState.GONE}


def test_every_worker_of_a_living_fleet_can_be_told_to_stop() -> None:
    told = {WorkerState.CLOSING, WorkerState.GONE}
    assert {state for state in WorkerState if (state, ev.Stop) not in WORKER} == told


# --- Start ---


def test_start_spawns_every_slot() -> None:
    story = Story(3)
    assert deeds(story.on(ev.Start())) == [do.Spawn(0), do.Spawn(1), do.Spawn(2)]
    assert story.states() == ["booting"] * 3
    assert story.fleet.state is FleetState.STARTING
    assert story.fleet.deadline() is None


def test_announced_once_when_the_first_is_ready() -> None:
    story = Story(2)
    story.on(ev.Start())
    assert story.on(ev.Ready(102)) == [do.Announce()]
    assert story.on(ev.Ready(101)) == []
    assert story.fleet.state is FleetState.SERVING
    assert story.fleet.is_serving()


def test_app_that_does_not_load_ends_the_start_with_4_and_is_printed_once() -> None:
    story = Story(2)
    story.on(ev.Start())
    actions = story.on(ev.BootFailed(101, True, "cannot load: why"))
    assert logged(actions) == "cannot load: why"
    assert deeds(actions) == [
        do.CloseListeners(), do.Signal(101, SIGQUIT), do.Signal(102, SIGQUIT),
    ]  # fmt: skip
    assert story.on(ev.BootFailed(102, True, "cannot load: why")) == []
    assert story.on(ev.Exited(101, 4)) == []
    assert deeds(story.on(ev.Exited(102, -SIGQUIT))) == [do.Exit(4)]
    assert story.fleet.state is FleetState.ENDED


def test_boot_failure_with_words_ends_the_start_with_3() -> None:
    story = Story()
    story.on(ev.Start())
    story.on(ev.BootFailed(101, False, "no core"))
    assert deeds(story.on(ev.Exited(101, 3))) == [do.Exit(3)]


def test_silent_death_at_start_is_tried_again_with_growing_waits_then_3() -> None:
    story = Story()
    now = 0.0
    story.on(ev.Start(), now)
    waits = []
    for attempt in range(BOOT_ATTEMPTS - 1):
        actions = story.on(ev.Exited(101 + attempt, -11), now)
        assert "worker died before it was ready worker=0 pid=" in logged(actions)
        assert "signal=SIGSEGV" in logged(actions)
        deadline = story.fleet.deadline()
        waits.append(0.0 if deadline is None else deadline - now)
        if deadline is not None:
            now = deadline
            assert deeds(story.on(ev.Tick(), now)) == [do.Spawn(0)]
    assert waits == [0.0, 0.25, 0.5, 1.0]
    actions = story.on(ev.Exited(100 + BOOT_ATTEMPTS, -11), now)
    assert "giving up: no worker can boot" in logged(actions)
    assert deeds(actions) == [do.CloseListeners(), do.Exit(3)]


def test_attempts_count_for_each_slot_and_over_all_slots() -> None:
    story = Story(2)
    story.on(ev.Start())
    now = 0.0
    exits = 0
    while story.fleet.state is FleetState.STARTING:
        alive = [worker.pid for worker in story.fleet.workers if worker.pid]
        for pid in alive:
            if story.fleet.state is FleetState.STARTING:
                story.on(ev.Exited(pid, 1), now)
                exits += 1
        now += 60.0
        if story.fleet.state is FleetState.STARTING:
            story.on(ev.Tick(), now)
    assert exits == 2 * BOOT_ATTEMPTS


def test_boot_timeout_kills_and_counts_as_a_failure() -> None:
    story = Story(timing=Timing(boot=5.0))
    story.on(ev.Start())
    assert story.fleet.deadline() == 5.0
    actions = story.on(ev.Tick(), 5.0)
    assert deeds(actions) == [do.Signal(101, SIGKILL)]
    assert "worker killed; it was not ready in time worker=0 pid=101 boot_timeout=5s" in logged(actions)
    assert story.on(ev.Ready(101), 5.0) == []  # it was too late
    assert deeds(story.on(ev.Exited(101, -9), 5.1)) == [do.Spawn(0)]
    assert story.fleet.boot_failures == 1


def test_fork_that_fails_is_tried_again_later_never_at_once() -> None:
    story = Story()
    assert story.fleet.on(ev.Start(), 0.0) == [do.Spawn(0)]
    actions = story.on(ev.SpawnFailed(0, "Cannot allocate memory"), 0.0)
    assert deeds(actions) == []
    assert 'worker cannot be forked worker=0 reason="Cannot allocate memory" next_try=0.25s' in logged(actions)
    assert deeds(story.on(ev.Tick(), 0.25)) == [do.Spawn(0)]


# --- Death and restart ---


def test_dead_worker_is_replaced_at_once() -> None:
    story = Story(2).serving()
    actions = story.on(ev.Exited(101, -9), 100.0)
    assert deeds(actions) == [do.Spawn(0)]
    assert "worker died; a new one starts worker=0 pid=101 signal=SIGKILL" in logged(actions)
    assert story.states() == ["booting", "ready"]
    assert "worker ready worker=0 pid=103" in logged(story.on(ev.Ready(103), 100.2))


def test_early_deaths_wait_longer_and_longer_and_a_long_life_is_forgiven() -> None:
    story = Story().serving()
    now, pid, waits = 0.0, 101, []
    for _ in range(10):
        story.on(ev.Exited(pid, 1), now)
        deadline = story.fleet.deadline()
        waits.append(0.0 if deadline is None else deadline - now)
        now = now if deadline is None else deadline
        if deadline is not None:
            story.on(ev.Tick(), now)
        pid += 1
        story.on(ev.Ready(pid), now)
    assert waits == [0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    story.on(ev.Exited(pid, 1), now + 1.0)
    assert story.fleet.workers[0].streak == 0
    assert story.states() == ["booting"]


def test_app_that_breaks_while_others_serve_is_tried_for_ever_and_shown_once() -> None:
    story = Story(2).serving()
    now, pid = 100.0, 103
    story.on(ev.Exited(101, 1), now)
    texts = []
    for _ in range(3 * BOOT_ATTEMPTS):
        actions = story.on(ev.BootFailed(pid, True, "cannot load\ntraceback"), now)
        texts.append(logged(actions).split("\nworker")[0])
        assert story.fleet.deadline() == now + FAILED_GRACE
        story.on(ev.Exited(pid, 4), now)
        if (deadline := story.fleet.deadline()) is not None:
            now = deadline
            assert deeds(story.on(ev.Tick(), now)) == [do.Spawn(0)]
        pid += 1
    assert texts[0] == "cannot load\ntraceback"
    again = re.compile(r'worker boot failed as before worker=0 next_try=[\d.]+s reason="cannot load"')
    assert all(again.fullmatch(text) for text in texts[1:])
    assert "next_try=30s" in texts[-1]
    assert story.states() == ["booting", "ready"]
    assert story.fleet.state is FleetState.SERVING


def test_app_that_breaks_while_nobody_serves_is_given_up() -> None:
    story = Story().serving()
    now, pid = 100.0, 102
    story.on(ev.Exited(101, 1), now)
    for _ in range(BOOT_ATTEMPTS):
        story.on(ev.BootFailed(pid, True, "cannot load"), now)
        final = story.on(ev.Exited(pid, 4), now)
        if (deadline := story.fleet.deadline()) is not None:
            now = deadline
            story.on(ev.Tick(), now)
        pid += 1
    assert deeds(final) == [do.Exit(4)]


def test_failed_worker_that_does_not_end_is_killed() -> None:
    story = Story(2).serving()
    story.on(ev.Exited(101, 1), 100.0)
    story.on(ev.BootFailed(103, True, "cannot load"), 100.0)
    assert deeds(story.on(ev.Tick(), 100.0 + FAILED_GRACE)) == [do.Signal(103, SIGKILL)]
    assert story.states()[0] == "failed"


# --- Stop ---


def test_stop_shuts_the_door_waits_for_handshakes_then_drains() -> None:
    story = Story(2).serving()
    actions = story.on(TERM, 10.0)
    assert deeds(actions) == [do.RefuseNewcomers(), do.CloseListeners()]
    assert "stopping; requests that run may end reason=SIGTERM" in logged(actions)
    assert story.states() == ["closing", "closing"]
    assert story.fleet.deadline() == 10.1
    assert deeds(story.on(ev.Tick(), 10.1)) == [do.Signal(101, SIGTERM), do.Signal(102, SIGTERM)]
    assert story.on(ev.Exited(101, 0), 11.0) == []
    assert deeds(story.on(ev.Exited(102, 0), 12.0)) == [do.Exit(0)]


def test_without_handshakes_workers_drain_at_once() -> None:
    story = Story(timing=Timing()).serving()
    assert do.Signal(101, SIGTERM) in story.on(TERM, 10.0)


def test_worker_that_does_not_drain_in_time_is_named_and_killed() -> None:
    story = Story(timing=Timing(graceful=30.0)).serving()
    story.on(TERM, 10.0)
    assert story.fleet.deadline() == 40.0 + CUT_GRACE
    actions = story.on(ev.Tick(), 40.0 + CUT_GRACE)
    assert deeds(actions) == [do.NameCut(0), do.Signal(101, SIGKILL)]
    assert story.fleet.deadline() is None
    assert deeds(story.on(ev.Exited(101, -9), 41.1)) == [do.Exit(0)]


def test_second_stop_is_quick() -> None:
    story = Story().serving()
    story.on(TERM, 10.0)
    story.on(ev.Tick(), 10.1)
    assert deeds(story.on(TERM, 10.0 + ONE_STOP)) == [do.CloseListeners(), do.Signal(101, SIGQUIT)]
    assert story.fleet.deadline() == 10.0 + ONE_STOP + QUIT_GRACE
    assert story.on(TERM, 11.0) == []


def test_stop_that_comes_twice_at_once_is_one() -> None:
    story = Story().serving()
    story.on(TERM, 10.0)
    assert story.on(TERM, 10.01) == []
    assert story.states() == ["closing"]


def test_quit_is_quick_and_has_a_deadline() -> None:
    story = Story(2).serving()
    actions = story.on(QUIT, 10.0)
    assert deeds(actions) == [
        do.CloseListeners(), do.Signal(101, SIGQUIT), do.Signal(102, SIGQUIT),
    ]  # fmt: skip
    story.on(ev.Exited(101, 0), 10.1)
    assert deeds(story.on(ev.Tick(), 11.0)) == [do.NameCut(1), do.Signal(102, SIGKILL)]
    assert deeds(story.on(ev.Exited(102, -9), 11.0)) == [do.Exit(0)]


def test_stop_ends_what_waits_for_its_next_try() -> None:
    story = Story().serving()
    for pid in (101, 102, 103):
        story.on(ev.Exited(pid, 1), 0.0)
        story.on(ev.Ready(pid + 1), 0.0)
    story.on(ev.Exited(104, 1), 0.0)
    assert story.states() == ["backoff"]
    assert deeds(story.on(TERM, 0.1)) == [do.RefuseNewcomers(), do.CloseListeners(), do.Exit(0)]


def test_stop_while_starting_ends_the_booting() -> None:
    story = Story()
    story.on(ev.Start())
    assert deeds(story.on(TERM, 1.0)) == [
        do.RefuseNewcomers(), do.CloseListeners(), do.Signal(101, SIGTERM),
    ]  # fmt: skip
    assert deeds(story.on(ev.Exited(101, -SIGTERM), 1.1)) == [do.Exit(0)]


def test_words_that_cross_with_the_stop_are_heard_and_ignored() -> None:
    story = Story(2)
    story.on(ev.Start())
    story.on(TERM, 1.0)
    assert story.on(ev.Ready(101), 1.0) == []
    assert story.on(ev.BootFailed(102, True, "cannot load"), 1.0) == []
    assert story.on(ev.Exited(102, 4), 1.0) == []
    assert deeds(story.on(ev.Exited(101, 0), 1.0)) == [do.Exit(0)]


def test_worker_that_ends_by_itself_while_closing_is_not_replaced() -> None:
    """systemd's KillMode=control-group, `timeout` and others signal the workers too."""
    story = Story().serving()
    story.on(TERM, 10.0)
    assert deeds(story.on(ev.Exited(101, 0), 10.05)) == [do.Exit(0)]


def test_crash_while_draining_is_told() -> None:
    story = Story(timing=Timing()).serving()
    story.on(TERM, 10.0)
    assert "worker died while it was draining worker=0 pid=101 signal=SIGSEGV" in logged(
        story.on(ev.Exited(101, -11), 11.0)
    )


# --- The rest ---


def test_reopen_goes_to_every_process() -> None:
    story = Story(2).serving()
    assert story.on(ev.Reopen()) == [
        do.ReopenLogs(), do.Signal(101, SIGUSR1), do.Signal(102, SIGUSR1),
    ]  # fmt: skip


def test_deadline_is_the_earliest() -> None:
    story = Story(2, Timing(boot=5.0))
    story.fleet.on(ev.Start(), 0.0)
    story.fleet.on(ev.Started(0, 101), 0.0)
    story.fleet.on(ev.Started(1, 102), 2.0)
    assert story.fleet.deadline() == 5.0
    story.fleet.on(ev.Ready(101), 3.0)
    assert story.fleet.deadline() == 7.0


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exit_code=0"),
        (7, "exit_code=7"),
        (-9, 'signal=SIGKILL hint="kill -9, or the kernel for want of memory"'),
        (-11, "signal=SIGSEGV"),
        (-40, "signal=40"),
    ],
)
def test_exit_codes_in_words(code: int, words: str) -> None:
    assert module.how_it_ended(code) == words


# --- Before the start, and after us another process ---


@pytest.mark.parametrize("event", [TERM, QUIT])
def test_stop_before_the_start(event: ev.Event) -> None:
    """While a template imports the app there are no workers yet."""
    story = Story(2)
    assert deeds(story.on(event, 1.0))[-1] == do.Exit(0)
    assert story.fleet.state is FleetState.ENDED


def test_app_that_cannot_be_imported_for_all_ends_the_start() -> None:
    story = Story(2)
    actions = story.on(ev.GiveUp(4, "cannot load"), 1.0)
    assert deeds(actions) == [do.CloseListeners(), do.Exit(4)]
    assert "cannot load" in logged(actions)


def test_more_workers_are_wanted_before_the_start() -> None:
    story = Story(1)
    story.fleet = Fleet(1, TIMING, 8)
    story.on(ev.Resize("TTIN", 1), 0.0)
    assert deeds(story.on(ev.Start(), 1.0)) == [do.Spawn(0), do.Spawn(1)]


def test_where_another_server_takes_over_the_door_stays_open() -> None:
    story = Story(2, TIMING._replace(notice=10.0)).serving()
    actions = deeds(story.on(ev.Stop("upgraded", is_succeeded=True), 1.0))
    assert actions == [do.LeaveListeners()]  # no balancer needs to know
    assert deeds(story.on(ev.Tick(), 1.1)) == [do.Signal(101, SIGTERM), do.Signal(102, SIGTERM)]
    assert not story.fleet.is_closed()
    story.on(ev.Closed(101), 1.2)
    story.on(ev.Exited(102, 0), 1.2)
    assert story.fleet.is_closed()
    assert deeds(story.on(ev.Exited(101, 0), 1.3)) == [do.Exit(0)]


def test_whole_is_when_as_many_are_ready_as_shall_be() -> None:
    story = Story(2)
    story.on(ev.Start(), 0.0)
    story.on(ev.Ready(101), 0.0)
    assert not story.fleet.is_whole()
    story.on(ev.Ready(102), 0.0)
    assert story.fleet.is_whole()


def test_each_worker_that_is_followed_by_another_one_counts_once() -> None:
    story = Story(1).serving()
    story.on(ev.Renew(101, "old"), 10.0)  # a limit; and it dies before its turn
    story.on(ev.Exited(101, -9), 10.0)
    assert story.fleet.restarts == {"died": 0, "limit": 1, "reload": 0, "timeout": 0}
    story.on(ev.Ready(story.next_pid - 1), 11.0)
    story.on(ev.Retire(story.next_pid - 1, "stuck"), 20.0)
    story.on(ev.Exited(story.next_pid - 2, 1), 20.1)
    assert story.fleet.restarts == {"died": 0, "limit": 1, "reload": 0, "timeout": 1}
