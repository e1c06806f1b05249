//! Waiting for events and sending each to where it belongs. Whoever holds the poller's role calls `poll`.

use super::conn::{Conn, Phase};
use super::event_loop::is_on_loop;
use super::late::Late;
use super::request::Token;
use super::timers::tick_after;
use super::{Core, State};
use crate::score;
use crate::sys::{self, Event, NoConnection, Peer};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Epoll keys: a listener's number, the kick, the inbox, or a connection's token (whose generation keeps below these bits).
pub(super) const LISTENER: u64 = 1 << 63;
pub(super) const KICK: u64 = 1 << 62;
pub(super) const INBOX: u64 = KICK | 1;
/// Generations stay below the bits above.
pub(super) const GENERATIONS: u32 = (1 << 30) - 1;

/// Connections taken from one listener before other events have their turn: few, or the worker that wakes first would
/// take a whole burst and leave nothing to its siblings (seen: 64 connections of 64).
const ACCEPTS: usize = 4;
/// Events taken at once.
const EVENTS: usize = 64;
/// A busy worker, which never waits, looks at its deadlines this often.
const LOOK: u64 = 67_000_000;
/// How long accepting rests when the process is out of descriptors.
const REST: u64 = 100_000_000;

/// What a polling thread brings along: memory for events and for bytes that are decoded at once.
pub struct PollSpace {
    events: Vec<Event>,
    pub(super) scratch: Vec<u8>,
    /// When the deadlines were last looked at (monotonic ns).
    looked: u64,
}

impl Default for PollSpace {
    fn default() -> Self {
        Self {
            events: vec![Event { events: 0, u64: 0 }; EVENTS],
            scratch: Vec::new(),
            looked: 0,
        }
    }
}

/// The shorter of two waits, of which -1 has no end.
fn sooner(one: i32, other: i32) -> i32 {
    match (one, other) {
        (-1, _) => other,
        (_, -1) => one,
        _ => one.min(other),
    }
}

impl Core {
    /// Handles the events that are there, waiting for the first up to `most` milliseconds (-1: as long as it takes).
    /// Returns true when there may be something to run or to do: events came.
    pub fn poll(&self, space: &mut PollSpace, most: i32) -> bool {
        let PollSpace {
            events,
            scratch,
            looked,
        } = space;
        self.hear();
        if self.owes.load(Relaxed) {
            self.look_after_promises(scratch, sys::monotonic_ns());
        }
        let wait = if most == 0 { 0 } else { self.next_deadline(most) };
        let count = self.epoll.wait(events, wait);
        let now = sys::monotonic_ns();
        for event in &events[..count] {
            self.dispatch(*event, scratch, now);
        }
        if wait != 0 || now.saturating_sub(*looked) > LOOK {
            *looked = now;
            self.expire(now);
        }
        count > 0
    }

    /// Readable when `poll` has something to do.
    pub fn poll_fd(&self) -> std::os::fd::RawFd {
        self.epoll.as_raw_fd()
    }

    /// The wait that ends at the next deadline.
    pub(super) fn next_deadline(&self, most: i32) -> i32 {
        let now = sys::monotonic_ns();
        let state = self.lock();
        let mut wait = state.wheel.timeout(now);
        if state.accept_after != 0 {
            let rest = (state.accept_after.saturating_sub(now) / 1_000_000 + 1) as i32;
            wait = if wait < 0 { rest } else { wait.min(rest) };
        }
        sooner(sooner(most, wait), self.promise_due())
    }

    fn dispatch(&self, event: Event, scratch: &mut Vec<u8>, now: u64) {
        let (key, ready) = (event.u64, event.events);
        if key & LISTENER != 0 {
            self.accept_some((key & !LISTENER) as usize, now);
        } else if key == KICK {
            self.kick.clear();
        } else if key == INBOX {
            self.take_in(scratch, now);
        } else {
            self.on_ready(Token::from_key(key), ready, scratch, now);
        }
    }

    fn on_ready(&self, token: Token, ready: u32, scratch: &mut Vec<u8>, now: u64) {
        let mut state = self.lock();
        let Some(conn) = state.conn(token) else { return };
        let broken = ready & (sys::HANGUP | sys::ERROR) != 0;
        let index = token.index as usize;
        match conn.phase {
            Phase::Idle | Phase::Head => self.receive(&mut state, index, scratch, now),
            Phase::Body => {
                if ready & sys::WRITABLE != 0 && !broken {
                    self.flush(&mut state, index, now); // "100 Continue" that had to wait
                }
                if state.conn(token).is_some() {
                    self.receive(&mut state, index, scratch, now);
                }
            }
            Phase::InFlight | Phase::Flushing => {
                if ready & sys::WRITABLE != 0 && !broken {
                    self.flush(&mut state, index, now);
                }
                self.watch_in_flight(&mut state, token, ready, broken, scratch, now);
            }
            Phase::Socket => self.on_socket_ready(&mut state, index, ready, broken, scratch, now),
            Phase::Lingering => self.linger(&mut state, index),
        }
    }

    /// A request runs or its answer is on the way: what does the client's side say meanwhile?
    fn watch_in_flight(
        &self,
        state: &mut State,
        token: Token,
        ready: u32,
        broken: bool,
        scratch: &mut Vec<u8>,
        now: u64,
    ) {
        let index = token.index as usize;
        let Some(conn) = state.conn(token) else { return };
        if !matches!(conn.phase, Phase::InFlight | Phase::Flushing) {
            return;
        }
        if is_on_loop(conn) {
            return self.watch_on_loop(state, index, ready, broken, scratch, now);
        }
        if broken {
            conn.gone = true;
            self.watch(conn, index, None);
            self.progress.notify_all();
            if conn.phase == Phase::Flushing {
                self.client_left(state, index);
            }
        } else if conn.late.as_deref().is_some_and(Late::is_read) && ready & sys::READABLE != 0 {
            self.receive_late(state, index, scratch, now);
        } else if ready & sys::READABLE != 0 {
            // Its next request, or the end of its sending: read when this answer is out.
            let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
            self.watch(conn, index, Some(rest));
        }
    }

    /// Changes what epoll watches for on this connection; `None` takes it out.
    pub(super) fn watch(&self, conn: &mut Conn, index: usize, interest: Option<u32>) {
        if conn.interest == interest {
            return;
        }
        let fd = conn.socket.as_raw_fd();
        let key = Token {
            index: index as u32,
            generation: conn.generation,
        }
        .key();
        // These fail only for want of kernel memory or of a registration; a deadline ends the connection then.
        let _ = match (conn.interest, interest) {
            (_, None) => self.epoll.remove(fd),
            (None, Some(events)) => self.epoll.add(fd, events, key),
            (Some(_), Some(events)) => self.epoll.modify(fd, events, key),
        };
        conn.interest = interest;
    }

    /// A poller's turn at a listener. A drain takes over from it: see `stop_accepting`.
    fn accept_some(&self, listener: usize, now: u64) {
        self.accepting.fetch_add(1, SeqCst);
        for _ in 0..ACCEPTS {
            if self.draining.load(SeqCst) || !self.accept_one(listener, now) {
                break;
            }
        }
        self.accepting.fetch_sub(1, SeqCst);
    }

    /// Takes connections that nobody has come for: the kernel tells of each one waiter, which may have been stopped. Called now
    /// and then.
    pub fn look_at_listeners(&self) {
        if self.draining.load(SeqCst) || self.lock().accept_after != 0 {
            return;
        }
        if self.score.taking.load(Relaxed) == score::DEAF {
            self.wake_all_timekeepers(); // the poller slept while somebody else took what was for us
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            if sys::is_readable(listener.fd) {
                self.accept_some(index, sys::monotonic_ns());
                self.wake_all_timekeepers();
            }
        }
    }

    /// No poller accepts any more when this returns, and what one has taken from a listener is a connection. Otherwise a
    /// drain could end, and the worker with it, while a poller holds a client that is counted nowhere.
    pub(super) fn stop_accepting(&self) {
        self.draining.store(true, SeqCst);
        for listener in &self.listeners {
            let _ = self.epoll.remove(listener.fd);
        }
        while self.accepting.load(SeqCst) > 0 {
            std::thread::yield_now(); // four calls that don't block
        }
    }

    /// Takes one connection; false when there is none or accepting must rest.
    pub(super) fn accept_one(&self, listener: usize, now: u64) -> bool {
        match sys::accept(self.listeners[listener].fd) {
            Ok((socket, peer)) => {
                if let Some(socket) = self.place(socket, peer, listener, now) {
                    self.adopt(socket, peer, listener, now);
                }
                true
            }
            Err(NoConnection::Lost) => true,
            Err(NoConnection::Empty) => false,
            Err(NoConnection::Exhausted(error)) => {
                self.rest_from_accepting(&error, now);
                false
            }
        }
    }

    /// Makes a connected, non-blocking socket one of this worker's connections, as if `listener` had given it.
    pub fn adopt(&self, socket: OwnedFd, peer: Peer, listener: usize, now: u64) {
        let mut state = self.lock();
        score::add(&self.score.accepted, 1);
        let Some(index) = self.insert(&mut state, socket, peer, listener, 0, now) else {
            return;
        };
        state.set_deadline(index, tick_after(now, self.settings.header_timeout));
        let conn = &mut state.conns[index];
        conn.since = now;
        self.watch(conn, index, Some(sys::READABLE));
    }

    /// Gives a socket its place; none: there are more than `spare` too many, and it is refused.
    pub(super) fn insert(
        &self,
        state: &mut State,
        socket: OwnedFd,
        peer: Peer,
        listener: usize,
        spare: usize,
        now: u64,
    ) -> Option<usize> {
        let most = self.settings.connections + spare;
        if state.conns.len() > most + most / 8 + 64 {
            return None; // so many are being refused that another would only add to them: it is closed
        }
        state.next_generation = (state.next_generation + 1) & GENERATIONS;
        let generation = state.next_generation;
        let index = state.conns.insert(Conn::new(socket, peer, listener as u8, generation));
        score::set(&self.score.connections, state.conns.len());
        if self.settings.loop_polls && state.conns.len() == 1 {
            self.nudge.signal(); // the monitor may sleep on: the loop may have taken the event before it woke
        }
        if state.conns.len() > most {
            self.refuse(state, index, 503, "worker_connections reached", now);
            return None;
        }
        Some(index)
    }

    fn rest_from_accepting(&self, error: &io::Error, now: u64) {
        let mut state = self.lock();
        if state.accept_after != 0 {
            return;
        }
        state.accept_after = now + REST;
        for listener in &self.listeners {
            let _ = self.epoll.remove(listener.fd);
        }
        drop(state);
        self.errors.error(format_args!(
            "accepting pauses for {} ms: {error}; raise the limit of open files or lower worker_connections",
            REST / 1_000_000
        ));
    }

    /// Ends what has waited too long.
    pub fn expire(&self, now: u64) {
        let mut state = self.lock();
        if state.accept_after != 0 && now >= state.accept_after {
            state.accept_after = 0;
            if !state.draining {
                let _ = self.listen();
            }
        }
        let mut due = std::mem::take(&mut state.due);
        state.wheel.take_due(now, &mut due);
        for key in due.drain(..) {
            let token = Token::from_key(key);
            let State { conns, wheel, .. } = &mut *state;
            let Some(conn) = conns.get_mut(token.index as usize) else {
                continue;
            };
            if conn.generation == token.generation && wheel.has_passed(&mut conn.deadline, now, key) {
                self.on_deadline(&mut state, token.index as usize, now);
            }
        }
        state.due = due;
    }

    fn on_deadline(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        match conn.phase {
            Phase::Idle => self.idle_deadline(state, index, now),
            Phase::Head => self.head_deadline(state, index, now),
            Phase::Body | Phase::InFlight | Phase::Flushing => self.in_flight_deadline(state, index, now),
            Phase::Socket => self.socket_deadline(state, index, now),
            Phase::Lingering => self.close(state, index),
        }
    }

    /// Ends the connection for good. Its client learns of it at once, whatever processes have copies of the socket.
    pub(super) fn close(&self, state: &mut State, index: usize) {
        let conn = &state.conns[index];
        let fd = conn.socket.as_raw_fd();
        let is_over = conn.is_detached || conn.resets && sys::reset(fd);
        if !is_over {
            sys::shutdown_both(fd);
        }
        self.let_go(state, index);
    }

    /// Forgets the connection, whose socket another worker or the app has from here on.
    pub(super) fn let_go(&self, state: &mut State, index: usize) {
        let mut conn = state.conns.remove(index);
        if conn.interest.is_some() {
            // As long as another process has the socket open, epoll would go on telling of it.
            let _ = self.epoll.remove(conn.socket.as_raw_fd());
        }
        if let Some(output) = &mut conn.output {
            output.discard(&mut state.spent);
            self.has_spent.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        if let Some(request) = conn.incoming.take() {
            state.give_back(request);
        }
        score::set(&self.score.connections, state.conns.len());
        self.signal_if_drained(state);
    }
}
