//! The monitor: a thread without Python that sleeps while nothing is in flight, looks every millisecond while something is,
//! and polls when every app thread is busy. So accepting, reading, time-outs and refusals never wait for the app.

use super::growth::{grow_now, grow_slowly, CROWDED_PATIENCE, PATIENCE};
use super::reactor::PollSpace;
use super::roles::{Poller, STALL};
use super::sharing::Sharer;
use super::{Core, State};
use crate::sys;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);
/// Quiet looks in a row before the monitor sleeps.
const QUIET: u32 = 2;
/// Between two looks while threads compute and the monitor polls for them.
const SLOW_TICK: i32 = 5;
/// Between two looks at the ages of running requests.
pub(super) const WATCH: Duration = Duration::from_millis(50);
/// How long requests are taken for long computations after one was (ns).
const CROWDED: u64 = 5_000_000_000;
/// Requests kept for reuse while nothing is in flight: memory goes back.
const SPARE_WHEN_QUIET: usize = 4;

impl Core {
    /// The monitor thread's body; returns after `stop`.
    pub fn monitor(&self) {
        if self.settings.loop_polls {
            return self.monitor_loop();
        }
        let mut space = PollSpace::default();
        let mut pace = Pace::default();
        let mut quiet = 0;
        loop {
            let mut state = self.lock();
            if state.stopping {
                return;
            }
            // With somebody at the door and nobody in the queue there is nothing to help with.
            let polled = matches!(state.roles.poller, Poller::Thread(_));
            let busy = !state.queue.is_empty() || state.roles.busy() > 0 && !polled;
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet > QUIET {
                quiet = 0;
                self.rest(state);
                continue;
            }
            state = self
                .monitor_wake
                .wait_timeout(state, TICK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let now = sys::monotonic_ns();
            self.watch_requests(&mut state, now);
            self.shed(&mut state, now);
            self.share_out(&mut state, Sharer::Monitor, now);
            let polls = self.assess(&mut state, &mut pace, now);
            drop(state);
            if polls {
                self.poll_in_their_place(&mut space, &mut pace);
            } else if self.owes.load(Relaxed) {
                self.look_after_promises(&mut space.scratch, now);
            }
        }
    }

    /// Sleeps until a request is queued. While requests run it looks at their ages now and then.
    fn rest(&self, mut state: MutexGuard<'_, State>) {
        state.spare.truncate(SPARE_WHEN_QUIET);
        state.spare.shrink_to(SPARE_WHEN_QUIET);
        state.roles.monitor_asleep = true;
        while state.roles.monitor_asleep && !state.stopping {
            if state.roles.busy() + state.runs.len() == 0 || !self.settings.watches() {
                state = self.monitor_wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state = self
                .monitor_wake
                .wait_timeout(state, WATCH)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            self.watch_requests(&mut state, sys::monotonic_ns());
        }
        state.roles.monitor_asleep = false;
    }

    /// Looks whether requests or events wait for nobody; true: the monitor has taken the poller's role.
    ///
    /// A queue that moves and a process that computes are left alone for `PATIENCE`: the thread that works will poll, and
    /// help would cost it its cache, the lock and the GIL. Measured on one core with 64 connections: a monitor that fed the
    /// queue beside a running Flask made each request cost 1.5 times the CPU, 1 MB responses 1.2 times.
    fn assess(&self, state: &mut State, pace: &mut Pace, now: u64) -> bool {
        let roles = &mut state.roles;
        roles.computing = pace.computes(now);
        roles.set_limit(self.settings.cpus, now);
        // A thread that computes for long leaves what comes to siblings that have nothing to do.
        let is_moving = roles.is_moving(now);
        let is_patient = is_moving || roles.computing && !self.has_idle_sibling();
        let patience = match is_patient {
            true if now < roles.crowded_until => CROWDED_PATIENCE,
            true => PATIENCE,
            false => STALL,
        };
        let older = |since: u64| now.saturating_sub(since) > patience;
        let events_wait = matches!(roles.poller, Poller::Nobody(since) if older(since));
        let request_waits = state.queue.front().is_some_and(|request| older(request.queued_ns));
        if !events_wait && !request_waits {
            return false;
        }
        if request_waits {
            if matches!(state.roles.poller, Poller::Thread(_)) {
                self.kick.signal(); // it took the role after the request was queued, and waits in epoll
            }
            self.help(state, now);
        } else if self.has_idle_thread_for_events(state) {
            return false;
        }
        // One that was just asked for comes to the role by itself; until then the monitor has it.
        let free = matches!(state.roles.poller, Poller::Nobody(_));
        if events_wait && free {
            state.roles.poller = Poller::Monitor;
        }
        events_wait && free
    }

    /// Wakes a parked thread to poll, unless that would only put one more to compute.
    fn has_idle_thread_for_events(&self, state: &mut State) -> bool {
        !state.roles.computing && self.wake_parked(state)
    }

    /// Puts more threads to work on the queue where that helps: see growth.rs.
    fn help(&self, state: &mut State, now: u64) {
        let queued = state.queue.len();
        let situation = state.roles.situation(queued, self.settings.cpus, now);
        let mut more = grow_now(&situation);
        if more > 0 && !situation.computing && state.roles.is_starved(now) {
            return; // on a busy machine: not now
        }
        if more == 0 && grow_slowly(&situation) {
            state.roles.crowded_until = now + CROWDED;
            state.roles.let_one_in();
            more = 1;
        }
        if state.roles.computing && situation.active() > 0 && situation.coming == 0 {
            // Room that those made who wait now.
            more = more.max(state.roles.free_to_run().min(situation.queued).min(situation.parked));
        }
        if more > 0 {
            self.put_to_work(state, more);
        }
    }

    /// Polls until an app thread takes the role back, or gets on with the queue.
    fn poll_in_their_place(&self, space: &mut PollSpace, pace: &mut Pace) {
        let mut look = TICK.as_millis() as i32;
        self.lend(&mut self.lock(), sys::monotonic_ns());
        loop {
            let most = self.next_deadline(look);
            sys::wait_either(self.epoll.as_raw_fd(), self.nudge.as_raw_fd(), most);
            self.nudge.clear();
            self.poll(space, 0);
            let now = sys::monotonic_ns();
            self.expire(now);
            let mut state = self.lock();
            if state.stopping {
                self.kick.signal(); // the poll above may have taken the one that ends a thread's wait
                return;
            }
            self.watch_requests(&mut state, now);
            self.shed(&mut state, now);
            self.share_out(&mut state, Sharer::Rescuer, now);
            state.roles.computing = pace.computes(now);
            state.roles.set_limit(self.settings.cpus, now);
            if !state.queue.is_empty() {
                self.help(&mut state, now);
            }
            if state.roles.poller == Poller::Monitor && state.roles.is_moving(now) {
                state.roles.poller = Poller::Nobody(now);
            }
            if state.roles.poller != Poller::Monitor {
                if !state.queue.is_empty() {
                    self.kick.signal(); // who has just taken the role does not know of what was read meanwhile
                }
                return;
            }
            look = self.next_look(&state);
        }
    }

    /// Milliseconds after which there may be something to see that is no event (-1: nothing).
    fn next_look(&self, state: &State) -> i32 {
        let helpless = state.roles.is_full() && state.roles.parked.is_empty();
        if !helpless && !state.queue.is_empty() {
            let tick = TICK.as_millis() as i32;
            return if state.roles.computing { SLOW_TICK } else { tick };
        }
        if self.balances() && !state.queue.is_empty() {
            return SLOW_TICK; // somebody else may have nothing to do by then
        }
        if self.settings.watches() || !state.queue.is_empty() && self.settings.queue_timeout > 0 {
            return WATCH.as_millis() as i32;
        }
        -1
    }
}

/// What the monitor remembers from look to look.
#[derive(Default)]
struct Pace {
    /// The last look (monotonic ns), and the process's CPU clock then.
    looked: u64,
    cpu: u64,
    computes: bool,
}

impl Pace {
    /// Whether the process has used more than half a CPU since the last look, which was at least half a tick ago.
    fn computes(&mut self, now: u64) -> bool {
        let wall = now.saturating_sub(self.looked);
        if wall >= STALL / 2 {
            let cpu = sys::process_cpu_ns();
            self.computes = cpu.saturating_sub(self.cpu) > wall / 2;
            self.looked = now;
            self.cpu = cpu;
        }
        self.computes
    }
}
