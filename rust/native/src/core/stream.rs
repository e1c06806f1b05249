//! Request bodies that an app on the event loop reads while they come: a little is read ahead, the rest waits in the kernel.

use super::conn::Conn;
use super::receive::{go_on, read_scratch, Got};
use super::request::Token;
use super::timers::{tick_after, NEVER};
use super::{Core, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::BodyDecoder;
use std::os::fd::AsRawFd;

/// Bytes that are read ahead of the app.
const AHEAD: usize = 64 * 1024;
/// What is left of a body that the app did not want is read and forgotten up to so many bytes; a longer one costs the
/// connection.
const FORGET: u64 = 64 * 1024;

/// A body on its way.
pub struct Stream {
    decoder: BodyDecoder,
    /// Decoded, not taken yet.
    bytes: Vec<u8>,
    /// When the app began to wait for it (monotonic ns), and how much has come since.
    since: u64,
    received: u64,
    /// The client waits for "100 Continue".
    expects: bool,
    /// The app waits for the next part.
    wanted: bool,
    failed: bool,
}

/// What an app gets that asks for the next part.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Bytes, and whether more will follow.
    Bytes(Vec<u8>, bool),
    /// Nothing is there yet.
    Wait,
    /// It will never be whole.
    Broken,
}

impl Stream {
    pub fn new(decoder: BodyDecoder, expects: bool, now: u64) -> Self {
        Self {
            decoder,
            bytes: Vec::new(),
            since: now,
            received: 0,
            expects,
            wanted: false,
            failed: false,
        }
    }

    /// All of it has come.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Little enough is left, and on its way, to be read and forgotten.
    fn is_worth_forgetting(&self) -> bool {
        !self.failed && !self.expects && self.decoder.remaining().is_some_and(|left| left <= FORGET)
    }
}

impl Core {
    /// Decodes bytes of a streamed body; false: they are malformed.
    pub(super) fn feed_stream(conn: &mut Conn, bytes: &[u8]) -> Result<(), &'static str> {
        let Some(stream) = conn.stream.as_deref_mut() else {
            return Ok(());
        };
        stream.received += bytes.len() as u64;
        let mut at = 0;
        while at < bytes.len() && !stream.decoder.is_done() {
            let step = stream.decoder.step(&bytes[at..]).map_err(|reject| {
                stream.failed = true;
                reject.reason
            })?;
            stream
                .bytes
                .extend_from_slice(&bytes[at + step.data.start..at + step.data.end]);
            at += step.consumed;
        }
        conn.leftover.extend_from_slice(&bytes[at..]);
        Ok(())
    }

    /// Reads ahead for the event loop; pauses when enough is there.
    pub(super) fn receive_stream(&self, state: &mut State, index: usize, scratch: &mut Vec<u8>, now: u64) {
        let conn = &mut state.conns[index];
        match read_scratch(conn.socket.as_raw_fd(), scratch) {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                if let Err(reason) = Self::feed_stream(conn, scratch) {
                    self.break_stream(state, index, reason);
                }
            }
            Got::Nothing => return,
            Got::End | Got::Broken => self.break_stream(state, index, "the client left"),
        }
        self.pause_or_tell(state, index, now);
    }

    fn pause_or_tell(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let Some(stream) = conn.stream.as_deref_mut() else {
            return;
        };
        let is_over = stream.failed || stream.is_done();
        if is_over || stream.bytes.len() >= AHEAD {
            // What follows is read later; that the client goes is seen all the same.
            let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
            let gone = stream.failed;
            self.watch(conn, index, Some(if gone { rest } else { rest | sys::PEER_CLOSED }));
        }
        let Some(stream) = state.conns[index].stream.as_deref_mut() else {
            return;
        };
        if stream.wanted && (is_over || !stream.bytes.is_empty()) {
            stream.wanted = false;
            if state.conns[index].output.is_none() {
                state.set_deadline(index, NEVER);
            }
            self.tell_loop(state, index);
        } else if stream.wanted {
            let due = self.upload_due(stream.since, stream.received);
            state.set_deadline(index, due.map_or(NEVER, |due| tick_after(due.max(now), 0)));
        }
    }

    fn break_stream(&self, state: &mut State, index: usize, reason: &'static str) {
        let conn = &mut state.conns[index];
        if let Some(stream) = conn.stream.as_deref_mut() {
            stream.failed = true;
        }
        conn.keep_alive = false;
        conn.half_closed = true;
        self.errors.warning(format_args!(
            "the body of a request from {} was not read whole: {reason}",
            conn.peer
        ));
        self.tell_loop(state, index);
    }

    /// The next part for the app, which waits for it if there is none. Called by the event loop.
    pub fn next_part(&self, token: Token) -> Part {
        let mut state = self.lock();
        let now = sys::monotonic_ns();
        let index = token.index as usize;
        let Some(conn) = state.conn(token) else {
            return Part::Broken;
        };
        let gone = conn.gone;
        let Some(stream) = conn.stream.as_deref_mut() else {
            return Part::Broken;
        };
        if !stream.bytes.is_empty() || stream.is_done() {
            let bytes = std::mem::take(&mut stream.bytes);
            let more = !stream.is_done();
            if more {
                self.go_on_reading(conn, index);
            }
            return Part::Bytes(bytes, more);
        }
        if stream.failed || gone {
            return Part::Broken;
        }
        if stream.expects {
            stream.expects = false;
            go_on(conn.socket.as_raw_fd());
        }
        if !stream.wanted {
            stream.wanted = true;
            (stream.since, stream.received) = (now, 0);
        }
        self.go_on_reading(conn, index);
        if conn.output.is_none() {
            state.set_deadline(index, tick_after(now, self.settings.body_timeout));
        }
        Part::Wait
    }

    fn go_on_reading(&self, conn: &mut Conn, index: usize) {
        let interest = (conn.interest.unwrap_or(0) & !sys::PEER_CLOSED) | sys::READABLE;
        self.watch(conn, index, Some(interest));
    }

    /// A body that the app waits for has had its time: true when that is what passed.
    pub(super) fn stream_deadline(&self, state: &mut State, index: usize, now: u64) -> bool {
        let Some(stream) = state.conns[index].stream.as_deref().filter(|stream| stream.wanted) else {
            return false;
        };
        match self.upload_due(stream.since, stream.received) {
            Some(due) if due > now => state.set_deadline(index, tick_after(due, 0)),
            Some(_) => {
                score::add(&self.score.timeouts, 1);
                self.break_stream(state, index, "it came slower than min_rate");
            }
            None => {}
        }
        true
    }

    /// The request is over: is its body out of the way, so that another request may follow?
    pub(super) fn end_stream(conn: &mut Conn) {
        let Some(stream) = conn.stream.as_deref() else { return };
        if stream.is_done() && !stream.failed {
            conn.stream = None;
        } else if !stream.is_worth_forgetting() {
            conn.keep_alive = false;
        }
    }

    /// Reads and forgets what is left of a body that the app did not want. True: it is out of the way.
    pub(super) fn forget_rest(conn: &mut Conn, scratch: &mut Vec<u8>) -> bool {
        let mut rest = FORGET as usize;
        while rest > 0 {
            match read_scratch(conn.socket.as_raw_fd(), scratch) {
                Got::Some(count) => rest = rest.saturating_sub(count),
                _ => return false,
            }
            if Self::feed_stream(conn, scratch).is_err() {
                return false;
            }
            match conn.stream.as_deref_mut() {
                Some(stream) if !stream.is_done() => stream.bytes.clear(),
                _ => {
                    conn.stream = None;
                    return true;
                }
            }
        }
        false
    }

    /// Whether the client still waits for "100 Continue": nobody knows whether it will send its body.
    pub(super) fn expects(&self, token: Token) -> bool {
        self.lock()
            .conn(token)
            .is_some_and(|conn| conn.stream.as_deref().is_some_and(|stream| stream.expects))
    }
}
