//! The end of a request: counts, the log line, and what becomes of its connection.

use super::conn::Phase;
use super::exchange::Finished;
use super::request::{Request, Token, BUFFER};
use super::timers::tick_after;
use super::{Core, Notice, State};
use crate::log::Pending;
use crate::score;
use crate::sys;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;

impl Core {
    /// Takes a request back from the thread that ran it. `line`: its rendered access log line, empty when there is none.
    pub fn finish(&self, thread: usize, request: Box<Request>, done: &Finished, line: &mut Pending) {
        let now = sys::monotonic_ns();
        let token = request.token;
        let index = token.index as usize;
        let duration = now.saturating_sub(request.started_ns);
        let mut state = self.lock();
        let timed_out = state.roles.has_timed_out(thread);
        self.count(&mut state, thread, &request, done, duration, timed_out);
        state.give_back(request);
        if timed_out {
            // It was answered, counted and logged in the app's place.
            state.abandoned -= 1;
            if state.conn(token).is_some() {
                self.close(&mut state, index);
            }
            return;
        }
        self.conclude(&mut state, token, done, line, now);
    }

    /// What becomes of the connection of an answered request.
    pub(super) fn conclude(&self, state: &mut State, token: Token, done: &Finished, line: &mut Pending, now: u64) {
        let index = token.index as usize;
        let Some(conn) = state.conn(token) else {
            return self.put_line(line);
        };
        conn.keep_alive &= done.keep_alive && conn.late.is_none();
        let waiting = conn.output.as_ref().is_some_and(|output| !output.is_empty());
        conn.resets |= done.reset;
        if conn.gone && waiting && !done.client_gone {
            // It left while the rest of its answer waited for it, before the app was done.
            score::add(&self.score.client_gone, 1);
            line.client_left();
        }
        if conn.gone || done.client_gone || done.reset {
            self.put_line(line);
            return self.close(state, index);
        }
        if waiting {
            conn.phase = Phase::Flushing;
            if !line.text.is_empty() {
                conn.line = Some(Box::new(std::mem::take(line)));
            }
            return; // flushing watches its own deadline since the first bytes were held
        }
        self.put_line(line);
        self.after_answer(state, index, now);
    }

    pub(super) fn put_line(&self, line: &Pending) {
        if let (Some((_, writer)), false) = (&self.access, line.text.is_empty()) {
            writer.put(&line.text);
        }
    }

    fn count(&self, state: &mut State, thread: usize, request: &Request, done: &Finished, duration: u64, known: bool) {
        let now = request.started_ns.saturating_add(duration);
        state.roles.end(thread, duration);
        state.balancing.ends(duration, now);
        let score = &self.score;
        score.serves(now);
        if !known {
            score.finished(done.status, duration);
            self.note_wear(state);
        }
        score.record(thread).end();
        score::add(&score.bytes_out, done.bytes);
        score.queued_for(request.started_ns.saturating_sub(request.queued_ns));
        score::set(&score.threads_busy, state.roles.busy());
        score::set(&score.in_flight, state.roles.busy());
        if done.client_gone && !known {
            score::add(&score.client_gone, 1);
        }
        if done.app_error {
            score::add(&score.app_errors, 1);
        }
    }

    /// Says so once when the worker has run its share of requests.
    pub(super) fn note_wear(&self, state: &mut State) {
        let share = self.settings.max_requests;
        if share > 0 && !state.worn && self.score.requests.load(Relaxed) >= share {
            state.worn = true;
            state.notices.push(Notice::Worn);
            self.attention.signal();
        }
    }

    /// The answer is out: the next request, or the end.
    pub(super) fn after_answer(&self, state: &mut State, index: usize, now: u64) {
        let draining = state.draining;
        let conn = &mut state.conns[index];
        conn.output = None;
        if !conn.keep_alive {
            return self.part(state, index, now);
        }
        conn.phase = Phase::Idle;
        conn.since = now;
        conn.timed_out = false;
        if !conn.leftover.is_empty() {
            return self.next_in_pipeline(state, index, now);
        }
        if self.pass_on(state, index, now) {
            return;
        }
        let conn = &mut state.conns[index];
        if conn.interest != Some(sys::READABLE) {
            self.watch(conn, index, Some(sys::READABLE));
        }
        // A drain that began after the head had promised to go on: the next request may be on its way.
        let idle = if draining {
            self.last_idle()
        } else {
            self.settings.keepalive
        };
        state.set_deadline(index, tick_after(now, idle));
        if draining {
            self.wake_all_timekeepers(); // they count on no deadline as near as this
        }
    }

    /// The next request's bytes are here already.
    pub(super) fn next_in_pipeline(&self, state: &mut State, index: usize, now: u64) {
        let mut request = state.spare_request();
        let conn = &mut state.conns[index];
        request.buffer.reserve(BUFFER.max(conn.leftover.len()));
        request.buffer.extend_from_slice(&conn.leftover);
        conn.leftover = Vec::new();
        conn.incoming = Some(request);
        conn.phase = Phase::Head;
        conn.since = now;
        self.watch(conn, index, Some(sys::READABLE));
        self.parse(state, index, now);
    }

    /// Closes a connection that has had its last answer; lingers when the client was still sending.
    fn part(&self, state: &mut State, index: usize, now: u64) {
        let conn = &state.conns[index];
        let unread = !conn.leftover.is_empty() || conn.late.is_some() || conn.stream.is_some();
        if unread || sys::discard(conn.socket.as_raw_fd()).is_ok_and(|count| count > 0) {
            self.begin_linger(state, index, now);
        } else {
            self.close(state, index);
        }
    }
}
