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
            if self.assess(&mut state, now) {
                drop(state);
                self.poll_in_their_place(&mut space);
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
    /// As long as some thread begins requests, the queue moves and that thread will poll: helping it would only cost it
    /// its cache and the lock (measured: 1 MB responses took 1.2 times the CPU). But not for longer than `PATIENCE`.
    fn assess(&self, state: &mut State, now: u64) -> bool {
        let older = |since: u64, age: u64| now.saturating_sub(since) > age;
        let moving = state
            .roles
            .running()
            .flatten()
            .any(|(_, started)| !older(started, STALL));
        let patience = if moving { PATIENCE } else { STALL };
        let events_wait = matches!(state.roles.poller, Poller::Nobody(since) if older(since, patience));
        let request_waits = state
            .queue
            .front()
            .is_some_and(|request| older(request.queued_ns, patience));
        if !events_wait && !request_waits {
            return false;
        }
        let woken = self.wake_parked(state);
        if events_wait && !woken {
            state.roles.poller = Poller::Monitor;
        }
        events_wait && !woken
    }

    /// Polls until an app thread takes the role back.
    fn poll_in_their_place(&self, space: &mut PollSpace) {
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
            self.find_runner(&mut state, Some(Poller::Monitor));
            if state.roles.poller != Poller::Monitor {
                return;
            }
        }
    }
}
