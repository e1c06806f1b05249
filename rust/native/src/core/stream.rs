//! Request bodies that an app on the event loop reads while they come: a little is read ahead, the rest waits in the kernel.

use super::conn::Conn;
use super::late::{on_read, Came, Client, Invitation, Verdict};
use super::pace::{Pace, Rules};
use super::receive::{read_scratch, set_aside, Got};
use super::request::{Body, Token};
use super::{Core, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::BodyDecoder;
use std::os::fd::{AsRawFd, RawFd};

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
    /// How fast it comes since the app began to wait for it.
    pace: Pace,
    /// "100 Continue".
    invitation: Invitation,
    /// Some of the body was read from the socket.
    has_begun: bool,
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
            pace: Pace::new(now),
            invitation: Invitation::new(expects),
            has_begun: false,
            wanted: false,
            failed: false,
        }
    }

    /// All of it has come.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// All of it has come, and nothing of it was taken: the body.
    pub(super) fn whole(&self) -> Option<&[u8]> {
        (self.is_done() && !self.failed).then_some(&self.bytes[..])
    }

    /// What has come, as it came; none: it was decoded, and cannot be decoded again.
    pub(super) fn as_it_came(&self) -> Option<&[u8]> {
        let is_raw = self.decoder.remaining().is_some() || !self.has_begun;
        (is_raw && !self.failed).then_some(&self.bytes[..])
    }

    /// When the wait for it ends (monotonic ns); none: nothing is waited for, or for ever.
    pub(super) fn due(&self, rules: &Rules) -> Option<u64> {
        self.wanted.then(|| self.pace.due(rules)).flatten()
    }

    /// The head of the response goes out. False: it must say that the connection ends, since the app may leave a body
    /// that has not come, or is too long to be forgotten; a client that asks the next would get no response.
    pub(super) fn head_goes_out(&mut self, socket: RawFd) -> bool {
        let is_here = match self.decoder.remaining() {
            _ if self.is_done() => true,
            Some(left) => self.is_worth_forgetting() && sys::waiting(socket) >= left,
            None => false,
        };
        self.invitation.settle();
        is_here
    }

    fn came(&self) -> Came {
        match (self.failed, self.bytes.is_empty(), self.has_begun) {
            _ if !self.bytes.is_empty() || self.is_done() => Came::Whole, // a part is all that is asked for
            (true, ..) => Came::Failed,
            (false, _, true) => Came::Part,
            (false, _, false) => Came::Nothing,
        }
    }

    /// Little enough is left, and on its way, to be read and forgotten.
    fn is_worth_forgetting(&self) -> bool {
        !self.failed && !self.invitation.is_owed() && self.decoder.remaining().is_some_and(|left| left <= FORGET)
    }
}

impl Core {
    /// An app on the event loop is called before its body is there, unless it is already.
    pub(super) fn begin_stream(&self, state: &mut State, index: usize, decoder: BodyDecoder, now: u64) {
        let conn = &mut state.conns[index];
        let Some(request) = conn.incoming.as_deref_mut() else {
            return;
        };
        let start = request.head.len;
        let here = request.buffer.len() - start;
        if let Some(length) = decoder.remaining().filter(|&length| length <= here as u64) {
            let end = start + length as usize;
            set_aside(conn, end);
            return self.enqueue(state, index, Body::Inline { start, end }, now);
        }
        let expects = request.head.expect_continue && here == 0;
        let behind = request.buffer.split_off(start);
        conn.stream = Some(Box::new(Stream::new(decoder, expects, now)));
        if let Err(reason) = Self::feed_stream(conn, &behind, now) {
            conn.stream = None;
            return self.refuse(state, index, 400, reason, now);
        }
        self.enqueue(state, index, Body::Streamed, now);
    }

    /// Decodes bytes of a streamed body; an error: they are malformed.
    fn feed_stream(conn: &mut Conn, bytes: &[u8], now: u64) -> Result<(), &'static str> {
        let Some(stream) = conn.stream.as_deref_mut() else {
            return Ok(());
        };
        if !bytes.is_empty() {
            stream.has_begun = true;
            stream.invitation.settle();
            stream.pace.hear(bytes.len(), now);
        }
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
                if let Err(reason) = Self::feed_stream(conn, scratch, now) {
                    self.break_stream(state, index, reason);
                }
            }
            Got::Nothing => return,
            Got::End | Got::Broken => self.break_stream(state, index, "the client left"),
        }
        self.pause_or_tell(state, index);
    }

    fn pause_or_tell(&self, state: &mut State, index: usize) {
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
            self.tell_loop(state, index);
        }
        self.set_in_flight_deadline(state, index);
    }

    fn break_stream(&self, state: &mut State, index: usize, reason: &'static str) {
        let conn = &mut state.conns[index];
        if let Some(stream) = conn.stream.as_deref_mut() {
            stream.failed = true;
            stream.wanted = false;
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
        let index = token.index as usize;
        let Some(conn) = state.conn(token) else {
            return Part::Broken;
        };
        let client = match (conn.gone, conn.half_closed) {
            (true, _) => Client::Gone,
            (false, true) => Client::HalfClosed,
            (false, false) => Client::There,
        };
        let Some(stream) = conn.stream.as_deref_mut() else {
            return Part::Broken;
        };
        match on_read(stream.came(), stream.invitation.is_owed(), client) {
            Verdict::Give => {
                let bytes = std::mem::take(&mut stream.bytes);
                let more = !stream.is_done();
                if more {
                    self.go_on_reading(conn, index);
                }
                return Part::Bytes(bytes, more);
            }
            Verdict::Fail => return Part::Broken,
            Verdict::Invite => {
                stream.invitation.settle();
                self.say_continue(&mut state, index);
            }
            Verdict::Wait => {}
        }
        let conn = &mut state.conns[index];
        if let Some(stream) = conn.stream.as_deref_mut().filter(|stream| !stream.wanted) {
            stream.wanted = true;
            stream.pace = Pace::new(sys::monotonic_ns());
        }
        self.go_on_reading(conn, index);
        self.set_in_flight_deadline(&mut state, index);
        Part::Wait
    }

    fn go_on_reading(&self, conn: &mut Conn, index: usize) {
        let interest = (conn.interest.unwrap_or(0) & !sys::PEER_CLOSED) | sys::READABLE;
        self.watch(conn, index, Some(interest));
    }

    /// Ends the wait for a body that has had its time.
    pub(super) fn stream_deadline(&self, state: &mut State, index: usize, now: u64) {
        let Some(stream) = state.conns[index].stream.as_deref().filter(|stream| stream.wanted) else {
            return;
        };
        if let Some(fault) = stream.pace.fault(&self.settings.body_rules, now) {
            score::add(&self.score.timeouts, 1);
            self.break_stream(state, index, fault);
        }
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
            if Self::feed_stream(conn, scratch, 0).is_err() {
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
}
