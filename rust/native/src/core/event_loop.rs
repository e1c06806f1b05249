//! The event loop's side of the core: requests for ASGI apps, and what happens to their connections meanwhile.
//!
//! The loop runs in one thread. It comes by in *turns*: it takes the requests that wait and the connections with news,
//! and runs the apps. Where every app is an ASGI app the loop polls too, at the beginning of a turn; beside app threads
//! these poll, and wake it. While the loop is blocked by some code the monitor polls in its place.

use super::conn::{Conn, Phase};
use super::exchange::Finished;
use super::reactor::PollSpace;
use super::request::{Request, Token};
use super::roles::{Run, Watched};
use super::sharing::Sharer;
use super::{Core, State};
use crate::log::Pending;
use crate::score::{self, RECORDS};
use crate::sys;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;

/// Requests taken in one turn; then the loop's other callbacks have theirs.
const TURN: usize = 64;

/// What a turn has to do.
#[derive(Default)]
pub struct Turn {
    pub requests: Vec<Box<Request>>,
    /// Connections with news.
    pub ready: Vec<Token>,
}

/// What became of a connection that has news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// The client is gone, or sends no more.
    pub left: bool,
    /// `request_timeout` has passed.
    pub timed_out: bool,
}

impl Core {
    /// Begins a turn of the loop: from here to its end nobody needs to wake it.
    pub fn begin_turn(&self, space: &mut PollSpace) {
        self.turns.fetch_add(1, Relaxed);
        {
            let mut state = self.lock();
            state.in_turn = true;
            if std::mem::take(&mut state.loop_woken) {
                self.loop_wake.clear();
            }
        }
        if self.settings.loop_polls {
            self.poll(space, 0);
            self.share_out(&mut self.lock(), Sharer::Runner, sys::monotonic_ns());
        }
    }

    /// Takes what there is to do. The requests run from now on.
    pub fn take_turn(&self, turn: &mut Turn) {
        let mut state = self.lock();
        let state = &mut *state;
        turn.ready.append(&mut state.loop_ready);
        let count = state.loop_queue.len().min(TURN);
        if count == 0 {
            return;
        }
        let now = sys::monotonic_ns();
        let tid = self.loop_tid.load(Relaxed);
        state.balancing.begin_turn(count, now);
        for mut request in state.loop_queue.drain(..count) {
            let run = Run {
                token: request.token,
                client: request.peer,
                started: now,
                detached: false,
                watched: Watched::Not,
            };
            let number = state.runs.insert(run);
            request.started_ns = now;
            request.thread = number;
            if number < RECORDS {
                let record = self.score.record(number);
                record.begin(tid, now, request.method(), request.target());
            }
            turn.requests.push(request);
        }
        score::set(&self.score.queued, state.queue.len() + state.loop_queue.len());
        self.count_runs(state);
    }

    fn count_runs(&self, state: &State) {
        score::set(&self.score.in_flight, state.roles.busy() + state.runs.len());
    }

    /// Ends a turn. What is left, or has come meanwhile, brings the next one.
    pub fn end_turn(&self) {
        let mut state = self.lock();
        state.in_turn = false;
        if self.settings.loop_polls && self.balances() {
            state.balancing.end_turn(sys::monotonic_ns());
        }
        if !state.loop_queue.is_empty() || !state.loop_ready.is_empty() {
            self.wake_loop(&mut state);
        }
    }

    /// Has the loop come by, unless it is here.
    pub(super) fn wake_loop(&self, state: &mut State) {
        if !state.in_turn && !state.loop_woken {
            state.loop_woken = true;
            self.loop_wake.signal();
        }
    }

    /// Tells the loop that something happened to a connection that it answers.
    pub(super) fn tell_loop(&self, state: &mut State, index: usize) {
        let conn = &mut state.conns[index];
        if conn.told || !conn.on_loop {
            return;
        }
        conn.told = true;
        let token = Token {
            index: index as u32,
            generation: conn.generation,
        };
        state.loop_ready.push(token);
        self.wake_loop(state);
    }

    /// What happened, taken once.
    pub fn news(&self, token: Token) -> Option<News> {
        let mut state = self.lock();
        let conn = state.conn(token)?;
        conn.told = false;
        Some(News {
            left: conn.gone || conn.half_closed,
            timed_out: conn.timed_out,
        })
    }

    /// The answer to a request on the loop has begun and will take its time: it is not slow any more.
    pub fn is_streaming(&self, number: usize) {
        if let Some(run) = self.lock().runs.get_mut(number) {
            run.watched = run.watched.max(Watched::Slow);
        }
    }

    /// Something is ready on a connection whose request runs on the loop.
    pub(super) fn watch_on_loop(
        &self,
        state: &mut State,
        index: usize,
        ready: u32,
        broken: bool,
        scratch: &mut Vec<u8>,
        now: u64,
    ) {
        let conn = &mut state.conns[index];
        if broken {
            conn.gone = true;
            self.watch(conn, index, None);
            return self.tell_loop(state, index);
        }
        if ready & sys::READABLE != 0 {
            if conn.stream.as_deref().is_some_and(|stream| !stream.is_done()) {
                return self.receive_stream(state, index, scratch, now);
            }
            return self.look_for_end(state, index);
        }
        if ready & sys::PEER_CLOSED != 0 {
            self.close_half(state, index);
        }
    }

    /// Bytes of the next request wait until this one is answered; the client's end is news.
    fn look_for_end(&self, state: &mut State, index: usize) {
        let conn = &mut state.conns[index];
        let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
        match sys::has_more(conn.socket.as_raw_fd()) {
            Ok(true) => self.watch(conn, index, Some(rest | sys::PEER_CLOSED)),
            Ok(false) => self.close_half(state, index),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => {
                conn.gone = true;
                self.watch(conn, index, None);
                self.tell_loop(state, index);
            }
        }
    }

    fn close_half(&self, state: &mut State, index: usize) {
        let conn = &mut state.conns[index];
        conn.half_closed = true;
        conn.keep_alive = false;
        let rest = conn.interest.unwrap_or(0) & !(sys::READABLE | sys::PEER_CLOSED);
        self.watch(conn, index, Some(rest));
        self.tell_loop(state, index);
    }

    /// Counts an exception that came after the response was complete.
    pub fn count_late_error(&self) {
        score::add(&self.score.app_errors, 1);
    }

    /// Takes a request back whose answer is complete. Its app may go on; its connection is free.
    pub fn finish_on_loop(&self, request: Box<Request>, done: &Finished, line: &mut Pending) {
        let now = sys::monotonic_ns();
        let token = request.token;
        let duration = now.saturating_sub(request.started_ns);
        let mut state = self.lock();
        self.end_run(&mut state, request.thread);
        self.score.finished(done.status, duration);
        self.note_wear(&mut state);
        score::add(&self.score.bytes_out, done.bytes);
        self.score
            .queued_for(request.started_ns.saturating_sub(request.queued_ns));
        self.score.serves(now);
        state.balancing.ended = now;
        if done.client_gone {
            score::add(&self.score.client_gone, 1);
        }
        if done.app_error {
            score::add(&self.score.app_errors, 1);
        }
        state.give_back(request);
        if let Some(conn) = state.conn(token) {
            conn.on_loop = false;
            conn.told = false;
            conn.handshake_due = None;
            Self::end_stream(conn);
            if conn.stream.is_some() && conn.keep_alive && !conn.gone && !Self::forget_rest(conn, &mut Vec::new()) {
                conn.keep_alive = false;
            }
        }
        self.conclude(&mut state, token, done, line, now);
    }

    /// Counts a WebSocket that has ended. Its duration is no measure of the app's speed.
    pub fn finish_socket_request(&self, request: Box<Request>, line: &mut Pending) {
        let mut state = self.lock();
        score::add(&self.score.requests, 1);
        score::add(&self.score.status[0], 1);
        state.give_back(request);
        drop(state);
        self.put_line(line);
    }

    /// The number of a run is free again.
    pub(super) fn end_run(&self, state: &mut State, number: usize) {
        if state.runs.try_remove(number).is_some() {
            if number < RECORDS {
                self.score.record(number).end();
            }
            self.count_runs(state);
        }
    }

    /// A response is held for a client whose app waits to send more: is there room again?
    pub(super) fn tell_of_room(&self, state: &mut State, index: usize) {
        if state.conns[index].on_loop {
            self.tell_loop(state, index);
        } else {
            self.progress.notify_all();
        }
    }

    /// The thread that runs the loop says which it is.
    pub fn enter_loop(&self) {
        self.loop_tid.store(sys::thread_id(), Relaxed);
    }
}

/// Whether the reactor leaves the connection's bytes to the loop.
pub(super) fn is_on_loop(conn: &Conn) -> bool {
    conn.on_loop && conn.phase == Phase::InFlight
}
