//! The monitor where the event loop polls: it keeps the deadlines, and polls while the loop is blocked by some code.

use super::monitor::WATCH;
use super::reactor::PollSpace;
use super::sharing::Sharer;
use super::Core;
use crate::sys;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::PoisonError;
use std::time::Duration;

/// How long events may wait for the loop before the monitor takes them: a loop that works comes by by itself, and help
/// would cost it its cache.
const PATIENCE: Duration = Duration::from_millis(20);
/// With connections open, deadlines are looked at this often though nothing happens (ms).
const LOOK: i32 = 1000;

impl Core {
    /// The monitor thread's body where `loop_polls`; returns after `stop`.
    pub(super) fn monitor_loop(&self) {
        let mut space = PollSpace::default();
        loop {
            sys::wait_either(self.epoll.as_raw_fd(), self.nudge.as_raw_fd(), self.next_rest());
            self.nudge.clear();
            let turns = self.turns.load(Relaxed);
            if self.rest_for_loop() {
                return;
            }
            let is_blocked = self.turns.load(Relaxed) == turns;
            if is_blocked && sys::is_readable(self.epoll.as_raw_fd()) {
                self.poll(&mut space, 0);
            }
            let now = sys::monotonic_ns();
            self.expire(now);
            let mut state = self.lock();
            self.watch_requests(&mut state, now);
            self.shed(&mut state, now);
            let sharer = if is_blocked { Sharer::Rescuer } else { Sharer::Monitor };
            self.share_out(&mut state, sharer, now);
            drop(state);
            if self.owes.load(Relaxed) {
                self.look_after_promises(&mut space.scratch, now);
            }
        }
    }

    /// Lets the loop have its time; true: the worker ends.
    fn rest_for_loop(&self) -> bool {
        let state = self.lock();
        if state.stopping {
            return true;
        }
        let (state, _) = self
            .monitor_wake
            .wait_timeout(state, PATIENCE)
            .unwrap_or_else(PoisonError::into_inner);
        state.stopping
    }

    /// Milliseconds until something may be due that is no event.
    fn next_rest(&self) -> i32 {
        let (connections, watched) = {
            let state = self.lock();
            let waiting = !state.loop_queue.is_empty();
            (
                !state.conns.is_empty(),
                waiting || !state.runs.is_empty() && self.settings.watches(),
            )
        };
        let most = match (watched, connections) {
            (true, _) => WATCH.as_millis() as i32,
            (false, true) => LOOK,
            (false, false) => -1,
        };
        self.next_deadline(most)
    }

    /// Whoever looks at the deadlines must learn of a new one.
    pub(super) fn wake_timekeeper(&self) {
        if !self.settings.loop_polls {
            self.kick.signal();
        } // the monitor looks often enough while connections are open
    }
}
