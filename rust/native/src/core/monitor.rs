//! The monitor: a thread without Python that sleeps while nothing is in flight, looks every millisecond while something is,
//! and polls when every app thread is busy. So accepting, reading, time-outs and refusals never wait for the app.

use super::reactor::PollSpace;
use super::roles::{Poller, STALL};
use super::{Core, State};
use crate::sys;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::PoisonError;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(1);
/// Quiet looks in a row before the monitor sleeps.
const QUIET: u32 = 2;
/// How long events may wait while the threads get on with the queue (ns).
const PATIENCE: u64 = 20_000_000;
/// Requests kept for reuse while nothing is in flight: memory goes back.
const SPARE_WHEN_QUIET: usize = 4;

impl Core {
    /// The monitor thread's body; returns after `stop`.
    pub fn monitor(&self) {
        let mut space = PollSpace::default();
        let mut pace = Pace::default();
        let mut quiet = 0;
        loop {
            let mut state = self.lock();
            if state.stopping {
                return;
            }
            let busy = state.roles.busy() > 0 || !state.queue.is_empty();
            quiet = if busy { 0 } else { quiet + 1 };
            if quiet > QUIET {
                quiet = 0;
                self.sleep(&mut state);
                state.roles.monitor_asleep = true;
                while state.roles.monitor_asleep && !state.stopping {
                    state = self.monitor_wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                continue;
            }
            state = self
                .monitor_wake
                .wait_timeout(state, TICK)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            let now = sys::monotonic_ns();
            self.score.heartbeat_ns.store(now, Relaxed);
            if self.assess(&mut state, &mut pace, now) {
                drop(state);
                self.poll_in_their_place(&mut space, &mut pace);
            }
        }
    }

    fn sleep(&self, state: &mut State) {
        state.spare.truncate(SPARE_WHEN_QUIET);
        state.spare.shrink_to(SPARE_WHEN_QUIET);
        self.score.heartbeat_ns.store(sys::monotonic_ns(), Relaxed);
    }

    /// Looks whether requests or events wait for nobody; true: the monitor has taken the poller's role.
    ///
    /// A queue that moves and a process that computes are left alone for `PATIENCE`: the thread that works will poll, and
    /// help would cost it its cache, the lock and the GIL. Measured on one core with 64 connections: a monitor that fed the
    /// queue beside a running Flask made each request cost 1.5 times the CPU, 1 MB responses 1.2 times.
    fn assess(&self, state: &mut State, pace: &mut Pace, now: u64) -> bool {
        let roles = &mut state.roles;
        roles.computing = pace.computes(now);
        let is_patient = roles.computing || roles.is_moving(now);
        let patience = if is_patient { PATIENCE } else { STALL };
        let older = |since: u64| now.saturating_sub(since) > patience;
        let events_wait = matches!(roles.poller, Poller::Nobody(since) if older(since));
        let request_waits = state
            .queue
            .front()
            .is_some_and(|request| older(request.queued_ns.max(pace.woken)));
        if !events_wait && !request_waits {
            return false;
        }
        let woken = self.wake_parked(state);
        pace.woken = if is_patient { now } else { 0 };
        if events_wait && !woken {
            state.roles.poller = Poller::Monitor;
        }
        events_wait && !woken
    }

    /// Polls until an app thread takes the role back, or gets on with the queue.
    fn poll_in_their_place(&self, space: &mut PollSpace, pace: &mut Pace) {
        loop {
            sys::wait_either(self.epoll.as_raw_fd(), self.nudge.as_raw_fd(), self.next_deadline(-1));
            self.nudge.clear();
            self.poll(space, 0);
            let now = sys::monotonic_ns();
            self.expire(now);
            self.score.heartbeat_ns.store(now, Relaxed);
            let mut state = self.lock();
            if state.stopping {
                return;
            }
            state.roles.computing = pace.computes(now);
            self.find_runner(&mut state, Some(Poller::Monitor));
            if state.roles.poller == Poller::Monitor && state.roles.is_moving(now) {
                state.roles.poller = Poller::Nobody(now);
            }
            if state.roles.poller != Poller::Monitor {
                return;
            }
        }
    }
}

/// What the monitor remembers from look to look.
#[derive(Default)]
struct Pace {
    /// The last look (monotonic ns), and the process's CPU clock then.
    looked: u64,
    cpu: u64,
    computes: bool,
    /// When a thread was last woken to help one that computes: that is done slowly, for fairness only.
    woken: u64,
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
