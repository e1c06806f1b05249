//! The end: take what the kernel has queued, answer what is there, close what is idle.

use super::conn::{Conn, Phase};
use super::reactor::PollSpace;
use super::request::Token;
use super::sharing::Sharer;
use super::timers::tick_after;
use super::{Core, State};
use crate::score;
use crate::sys;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

/// How long a connection that has just been accepted may take to send its request while the worker drains.
const FIRST_REQUEST: u64 = 1_000_000_000;
/// How long a connection must have been idle to be closed by a drain without a word: a request may be on its way to one
/// that has just been used, and would be lost. If it comes, its answer says `Connection: close`. Who is replaced has time;
/// where the whole server stops, somebody waits.
const IDLE: u64 = 2_000_000_000;
/// Until the next attempt to give an idle connection to a sibling.
const AGAIN: u64 = 100_000_000;
const IDLE_AT_STOP: u64 = 100_000_000;

impl Core {
    /// Stops accepting after what the kernel has queued; idle connections close, within two seconds, and the others get
    /// their answers. WebSockets stay open until `close_websockets`.
    pub fn drain(&self) {
        let now = sys::monotonic_ns();
        self.score.state.store(score::DRAINING, Relaxed);
        {
            let mut state = self.lock();
            if state.draining {
                return;
            }
            state.draining = true;
        }
        self.stop_accepting();
        let mut space = PollSpace::default();
        self.shut_inbox(&mut space.scratch, now);
        for index in 0..self.listeners.len() {
            while self.accept_one(index, now) {}
        }
        self.sweep_idle(&mut space, now);
        self.share_out(&mut self.lock(), Sharer::Leaver, now);
        self.look_after_promises(&mut space.scratch, now);
        for listener in &self.listeners {
            sys::forget(listener.fd); // Python closes them
        }
        self.signal_if_drained(&self.lock());
        self.wake_all_timekeepers();
    }

    /// Whoever waits for events or for time looks at the deadlines again.
    pub(super) fn wake_all_timekeepers(&self) {
        self.kick.signal();
        self.nudge.signal();
    }

    /// Reads each idle connection once: a request that is there already is served; the others go to siblings that stay, or
    /// are closed, now or soon.
    fn sweep_idle(&self, space: &mut PollSpace, now: u64) {
        let mut state = self.lock();
        let idle: Vec<usize> = state
            .conns
            .iter()
            .filter(|(_, conn)| conn.phase == Phase::Idle)
            .map(|(index, _)| index)
            .collect();
        for index in idle {
            self.receive(&mut state, index, &mut space.scratch, now);
            if state.conns.get(index).is_some_and(|conn| conn.phase == Phase::Idle) {
                self.leave_idle(&mut state, index, now);
            }
        }
        self.find_runner(&mut state);
    }

    /// What becomes of an idle connection while we drain.
    pub(super) fn leave_idle(&self, state: &mut State, index: usize, now: u64) {
        if self.pass_on(state, index, now) {
            return;
        }
        let conn = &state.conns[index];
        if conn.served == 0 {
            state.set_deadline(index, tick_after(now, FIRST_REQUEST));
        } else if now.saturating_sub(conn.since) < self.last_idle() {
            let due = tick_after(conn.since, self.last_idle());
            state.set_deadline(index, due);
        } else {
            self.close_or_try_again(state, index, now);
        }
    }

    /// An idle connection's time is over; while we drain it is somebody else's, where there is anybody.
    pub(super) fn idle_deadline(&self, state: &mut State, index: usize, now: u64) {
        if !state.draining {
            self.close(state, index);
        } else if !self.pass_on(state, index, now) {
            self.close_or_try_again(state, index, now);
        }
    }

    fn close_or_try_again(&self, state: &mut State, index: usize, now: u64) {
        if self.has_sibling() && !self.score.is_leaving() {
            state.set_deadline(index, tick_after(now, AGAIN)); // their inboxes are full
        } else {
            self.close(state, index);
        }
    }

    /// How long a connection may be idle while we drain.
    pub(super) fn last_idle(&self) -> u64 {
        let idle = if self.score.is_leaving() { IDLE_AT_STOP } else { IDLE };
        idle.min(self.settings.keepalive)
    }

    /// The worker ends before its drain does: answers 503 to each request that has not begun, or not come whole.
    pub fn turn_away(&self, reason: &str) {
        let now = sys::monotonic_ns();
        let mut state = self.lock();
        for on_loop in [false, true] {
            for request in std::mem::take(state.queue_of(on_loop)) {
                self.refuse_queued(&mut state, request, reason, now);
            }
        }
        let is_coming = |conn: &Conn| match conn.phase {
            Phase::Head => conn
                .incoming
                .as_deref()
                .is_some_and(|request| !request.buffer.is_empty()),
            Phase::Body => true,
            _ => false,
        };
        let conns = state.conns.iter();
        let coming: Vec<usize> = conns
            .filter(|(_, conn)| is_coming(conn))
            .map(|(index, _)| index)
            .collect();
        for index in coming {
            self.refuse(&mut state, index, 503, reason, now);
        }
        score::set(&self.score.queued, 0);
    }

    /// Closes every WebSocket with 1012 (service restart): the worker drains, and its drain has a deadline.
    pub fn close_websockets(&self) {
        self.drain_sockets(sys::monotonic_ns());
        self.signal_if_drained(&self.lock());
    }

    /// The time of a drain is over: nothing more is written to the clients of the app threads, so the next write of each
    /// response fails and its iterator is closed.
    pub fn cut(&self) {
        let mut state = self.lock();
        let running: Vec<Token> = state.roles.running().map(|(_, run, _)| run.token).collect();
        for token in running {
            let Some(conn) = state.conn(token) else { continue };
            conn.gone = true;
            conn.keep_alive = false;
            sys::shutdown_both(conn.socket.as_raw_fd());
            self.watch(conn, token.index as usize, None);
        }
        drop(state);
        self.progress.notify_all();
    }

    /// Ends the app threads: each leaves when its request has ended.
    pub fn stop(&self) {
        self.lock().stopping = true;
        self.stop_taking();
        self.dismiss_porter();
        for parker in &self.parkers {
            parker.unpark();
        }
        self.monitor_wake.notify_all();
        self.progress.notify_all();
        self.nudge.signal();
        self.kick.signal();
    }

    /// Gives the socket of a running request to its app: a descriptor of its own, which blocks. The core neither reads nor
    /// writes there any more, and closes its side when the request ends. None: the client is gone, or has sent more than
    /// the handshake already.
    pub fn detach(&self, token: Token, thread: usize) -> Option<OwnedFd> {
        let mut state = self.lock();
        let conn = state
            .conn(token)
            .filter(|conn| !conn.gone && conn.leftover.is_empty())?;
        let socket = sys::duplicate(conn.socket.as_raw_fd())?;
        sys::set_blocking(socket.as_raw_fd());
        conn.gone = true;
        conn.is_detached = true;
        self.watch(conn, token.index as usize, None);
        if let Some(run) = state.roles.run_of(thread) {
            run.detached = true;
        }
        Some(socket)
    }

    /// Requests that were ended in the app's place and whose threads are still in the app.
    pub fn abandoned(&self) -> usize {
        self.lock().abandoned
    }

    /// Whether a drain has nothing left to do.
    pub fn is_drained(&self) -> bool {
        if self.is_draining() && self.owes.load(Relaxed) {
            self.look_after_promises(&mut Vec::new(), sys::monotonic_ns()); // before nobody can any more
        }
        let state = self.lock();
        let is_over = state.draining && state.conns.len() == state.abandoned && !self.is_between();
        if !is_over {
            self.drained.clear(); // nothing was open for a moment, while more was being accepted
        }
        is_over
    }
}
