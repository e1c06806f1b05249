//! Slow clients: what they don't take is held here, sent when they do, and given up when they never will.

use super::conn::{Late, Phase};
use super::output::{Flushed, Output, Piece};
use super::request::{Request, Token};
use super::timers::{tick_after, NEVER};
use super::{Core, Room, State};
use crate::score;
use crate::sys;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::PoisonError;

impl Core {
    /// Puts bytes of a running response behind those that wait. Called by the app's thread.
    pub(super) fn hold(&self, token: Token, fill: impl FnOnce(&mut Output)) -> Room {
        let mut state = self.lock();
        let Some(conn) = state.conn(token).filter(|conn| !conn.gone) else {
            return Room::Gone;
        };
        let fresh = conn.output.is_none();
        let output = conn.output.get_or_insert_default();
        fill(output);
        let full = output.held > self.settings.response_buffer;
        if fresh {
            let interest = conn.interest.unwrap_or(0) | sys::WRITABLE;
            self.watch(conn, token.index as usize, Some(interest));
            let due = tick_after(sys::monotonic_ns(), self.settings.write_timeout);
            state.set_deadline(token.index as usize, due);
            self.wake_timekeeper();
        }
        if full {
            Room::Full
        } else {
            Room::Held
        }
    }

    /// Sends a whole answer, or keeps what the client does not take; false: it is gone.
    pub fn send_letter(&self, request: &Request, bytes: &[u8]) -> bool {
        let sent = match sys::send(request.fd, bytes) {
            Ok(count) if count == bytes.len() => return true,
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => return false,
        };
        let rest = bytes[sent..].to_vec();
        self.hold(request.token, |output| output.push(Piece::Bytes(rest))) != Room::Gone
    }

    /// Whether bytes still wait for this client: the app's thread may write straight to the socket otherwise.
    pub(super) fn is_held(&self, token: Token) -> Room {
        match self.lock().conn(token) {
            Some(conn) if !conn.gone => match &conn.output {
                None => Room::Direct,
                Some(_) => Room::Held,
            },
            _ => Room::Gone,
        }
    }

    /// Waits until a slow client has taken half of what is held. Without the interpreter's lock.
    pub fn wait_for_room(&self, token: Token) {
        let mut state = self.lock();
        while !self.is_room(&mut state, token) {
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether a slow client has taken half of what is held, or nobody is there to take it.
    pub fn has_room(&self, token: Token) -> bool {
        self.is_room(&mut self.lock(), token)
    }

    /// Whether the client is gone.
    pub fn is_gone(&self, token: Token) -> bool {
        self.lock().conn(token).is_none_or(|conn| conn.gone)
    }

    fn is_room(&self, state: &mut State, token: Token) -> bool {
        let enough = self.settings.response_buffer / 2;
        let Some(conn) = state.conn(token).filter(|conn| !conn.gone) else {
            return true;
        };
        conn.output.as_ref().is_none_or(|output| output.held <= enough)
    }

    /// The client takes bytes again.
    pub(super) fn flush(&self, state: &mut State, index: usize, now: u64) {
        let State { conns, spent, .. } = &mut *state;
        let conn = &mut conns[index];
        let Some(output) = conn.output.as_deref_mut() else {
            let interest = conn.interest.unwrap_or(0) & !sys::WRITABLE;
            return self.watch(conn, index, Some(interest));
        };
        let held = output.held;
        let flushed = output.flush(conn.socket.as_raw_fd(), spent);
        if !spent.is_empty() {
            self.has_spent.store(true, Relaxed);
        }
        match flushed {
            Flushed::Blocked => {
                let enough = self.settings.response_buffer / 2;
                if held > enough && output.held <= enough {
                    self.tell_of_room(state, index);
                }
            }
            Flushed::All => self.all_sent(state, index, now),
            Flushed::Broken => {
                conn.gone = true;
                if conn.phase == Phase::Flushing {
                    return self.client_left(state, index);
                }
                self.watch(conn, index, None);
                self.tell_of_room(state, index);
            }
        }
    }

    fn all_sent(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        conn.output = None;
        if conn.phase == Phase::Flushing {
            if let (Some(line), Some((_, writer))) = (conn.line.take(), &self.access) {
                writer.put(&line.text);
            }
            return self.after_answer(state, index, now);
        }
        let interest = conn.interest.unwrap_or(0) & !sys::WRITABLE;
        self.watch(conn, index, Some(interest));
        state.set_deadline(index, NEVER);
        self.tell_of_room(state, index);
    }

    /// The client went before it had the whole answer: 499 in the log.
    pub(super) fn client_left(&self, state: &mut State, index: usize) {
        score::add(&self.score.client_gone, 1);
        if let (Some(mut line), Some((_, writer))) = (state.conns[index].line.take(), &self.access) {
            line.client_left();
            writer.put(&line.text);
        }
        self.close(state, index);
    }

    /// A late body or a held response has had its time.
    pub(super) fn in_flight_deadline(&self, state: &mut State, index: usize, now: u64) {
        if self.stream_deadline(state, index, now) || self.handshake_deadline(state, index, now) {
            return;
        }
        let conn = &mut state.conns[index];
        if let Some(Late::Reading(upload)) = conn.late.as_deref() {
            match self.upload_due(upload.since, upload.received) {
                Some(due) if due > now => state.set_deadline(index, tick_after(due, 0)),
                Some(_) => self.end_late(state, index, Late::Failed("it came slower than min_rate"), now),
                None => {}
            }
            return;
        }
        let Some(output) = conn.output.as_deref_mut() else {
            return;
        };
        let due = self
            .settings
            .min_rate
            .saturating_mul(self.settings.write_timeout / 1_000_000_000)
            .max(1);
        if output.progress >= due {
            output.progress = 0;
            return state.set_deadline(index, tick_after(now, self.settings.write_timeout));
        }
        score::add(&self.score.timeouts, 1);
        self.errors.warning(format_args!(
            "{} was given up: write_timeout passed, it reads too slowly",
            conn.peer
        ));
        conn.gone = true;
        sys::reset_on_close(conn.socket.as_raw_fd());
        if conn.phase == Phase::Flushing {
            return self.client_left(state, index);
        }
        self.watch(conn, index, None);
        self.tell_of_room(state, index);
    }
}
