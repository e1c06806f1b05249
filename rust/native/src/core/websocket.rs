//! WebSockets (RFC 6455): after the handshake the reactor reads and writes frames, answers pings and keeps the deadlines;
//! the event loop takes whole messages and gives whole messages.
//!
//! | | the loop is told | the connection goes when |
//! |---|---|---|
//! | the client closes | at once, with its code | our close frame is out |
//! | the app, or a drain, closes | at once, with that code | the client has answered, or had its time |
//! | the client breaks a rule | at once, with the code of its failure | our close frame is out |
//! | the connection breaks, or falls silent | at once, 1006 | at once |

use super::conn::{Conn, Phase};
use super::output::{Flushed, Output, Piece};
use super::receive::{read_scratch, Got};
use super::request::{Request, Token};
use super::timers::{tick_after, NEVER};
use super::{Core, Room, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::Reject;
use hostler_wire::websocket::{self, handshake, Decoder, Deflate, Encoder, Event, Limits};
use std::collections::VecDeque;
use std::os::fd::AsRawFd;

/// How long a client may take to answer our close frame (ns).
const CLOSING: u64 = 3_000_000_000;
/// Messages from this size on are compressed without the core's lock.
const APART: usize = 4096;

/// How a WebSocket ended, in the app's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub code: u16,
    /// UTF-8.
    pub reason: Vec<u8>,
}

/// How a client's end is answered.
struct Last {
    /// Of our close frame.
    code: Option<u16>,
    reason: Vec<u8>,
    ending: Ending,
}

/// One WebSocket.
pub struct Socket {
    decoder: Decoder,
    /// Away while a long message is being compressed.
    encoder: Option<Encoder>,
    /// Messages for the app.
    inbox: VecDeque<Event>,
    /// What the app is told behind the last message.
    ending: Option<Ending>,
    /// What is said and told when the app has taken the messages before.
    last: Option<Last>,
    /// Our close frame is out; nothing follows it.
    close_sent: bool,
    /// The loop has all that it will get.
    released: bool,
    /// Nothing more comes from the client.
    finished: bool,
    /// When it began, and when the client was last heard (monotonic ns).
    born: u64,
    heard: u64,
    /// When a ping was sent that has not been answered.
    pinged: Option<u64>,
}

/// Judges the handshake of a request that may become a WebSocket: ours, or one that a library speaks on the raw socket.
pub(super) fn check_handshake(request: &Request) -> Result<(), Reject> {
    match (request.websocket, request.upgrade) {
        (true, _) => handshake::check_ours(&request.head, &request.buffer),
        (false, true) => handshake::check(&request.head, &request.buffer),
        (false, false) => Ok(()),
    }
}

impl Core {
    /// The agreed extension and the value of its field, for a handshake.
    pub fn negotiate(&self, request: &Request) -> Option<(Deflate, String)> {
        let policy = self.settings.websocket.deflate?;
        let fields = request.head.fields.iter();
        let offers = fields
            .filter(|field| {
                let name = field.name.of(&request.buffer);
                name.eq_ignore_ascii_case(b"sec-websocket-extensions")
            })
            .map(|field| field.value.of(&request.buffer));
        websocket::negotiate_deflate(offers, policy)
    }

    /// Completes a handshake with this head; from here on the connection is a WebSocket. False: the client is gone.
    pub fn accept_socket(&self, request: &mut Request, head: &[u8], deflate: Option<Deflate>) -> bool {
        let now = sys::monotonic_ns();
        let mut state = self.lock();
        self.end_run(&mut state, request.thread);
        request.buffer.shrink_to_fit(); // it may be kept for days
        let index = request.token.index as usize;
        let settings = &self.settings.websocket;
        let Some(conn) = state.conn(request.token).filter(|conn| !conn.gone) else {
            return false;
        };
        let limits = Limits {
            frame: settings.frame,
            message: settings.message,
        };
        conn.phase = Phase::Socket;
        conn.handshakes = false;
        conn.socket_state = Some(Box::new(Socket {
            decoder: Decoder::new(limits, deflate),
            encoder: Some(Encoder::new(deflate)),
            inbox: VecDeque::new(),
            ending: None,
            last: None,
            close_sent: false,
            released: false,
            finished: false,
            born: now,
            heard: now,
            pinged: None,
        }));
        self.write(&mut state, index, head);
        let conn = &mut state.conns[index];
        let early = std::mem::take(&mut conn.leftover);
        let interest = conn.interest.unwrap_or(0) & !sys::PEER_CLOSED | sys::READABLE;
        self.watch(conn, index, Some(interest));
        self.set_socket_deadline(&mut state, index, now);
        if !early.is_empty() {
            self.feed_socket(&mut state, index, &early, now);
        }
        if state.draining {
            self.end_socket(&mut state, index, 1012, b"the server restarts", now);
        }
        true
    }

    // --- Reading ---

    pub(super) fn on_socket_ready(
        &self,
        state: &mut State,
        index: usize,
        ready: u32,
        broken: bool,
        scratch: &mut Vec<u8>,
        now: u64,
    ) {
        if broken {
            return self.lose_socket(state, index);
        }
        if ready & sys::WRITABLE != 0 && !self.flush_socket(state, index) {
            return;
        }
        if ready & sys::READABLE != 0 {
            match read_scratch(state.conns[index].socket.as_raw_fd(), scratch) {
                Got::Some(count) => {
                    score::add(&self.score.bytes_in, count as u64);
                    self.feed_socket(state, index, scratch, now);
                }
                Got::Nothing => {}
                Got::End | Got::Broken => self.lose_socket(state, index),
            }
        }
    }

    fn feed_socket(&self, state: &mut State, index: usize, bytes: &[u8], now: u64) {
        let Some(socket) = state.conns[index].socket_state.as_deref_mut() else {
            return;
        };
        socket.heard = now;
        socket.pinged = None;
        let mut events = Vec::new();
        let fed = socket.decoder.feed(bytes, &mut events);
        let is_open = !socket.close_sent;
        let mut has_news = false;
        for event in events {
            match event {
                Event::Text(_) | Event::Binary(_) => {
                    let Some(socket) = state.conns[index].socket_state.as_deref_mut() else {
                        return;
                    };
                    if is_open && socket.ending.is_none() {
                        socket.inbox.push_back(event);
                        has_news = true;
                    }
                }
                Event::Ping(payload) => {
                    if is_open {
                        let mut frame = Vec::with_capacity(payload.len() + 2);
                        websocket::pong(&payload, &mut frame);
                        self.write(state, index, &frame);
                    }
                }
                Event::Pong(_) => {}
                Event::Close { code, reason } => {
                    let ending = Ending {
                        code: code.unwrap_or(1005),
                        reason,
                    };
                    return self.end_after_inbox(state, index, code, b"", ending, now);
                }
            }
        }
        if let Err(failure) = fed {
            let ending = Ending {
                code: failure.code,
                reason: failure.reason.as_bytes().to_vec(),
            };
            let conn = &state.conns[index];
            self.errors.warning(format_args!(
                "the WebSocket of {} was closed with {}: {}",
                conn.peer, failure.code, failure.reason
            ));
            let code = Some(failure.code);
            return self.end_after_inbox(state, index, code, failure.reason.as_bytes(), ending, now);
        }
        if has_news {
            self.tell_loop(state, index);
            self.pause_if_full(state, index);
        }
    }

    /// The client has said its last: the app still answers what came before, then the close frame goes out.
    fn end_after_inbox(
        &self,
        state: &mut State,
        index: usize,
        code: Option<u16>,
        reason: &[u8],
        ending: Ending,
        now: u64,
    ) {
        let conn = &mut state.conns[index];
        let Some(socket) = conn.socket_state.as_deref_mut() else {
            return;
        };
        socket.last = Some(Last {
            code,
            reason: reason.to_vec(),
            ending,
        });
        if socket.inbox.is_empty() || socket.released || socket.close_sent {
            return self.say_last(state, index, now);
        }
        let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
        self.watch(conn, index, Some(rest));
        state.set_deadline(index, tick_after(now, CLOSING));
        self.tell_loop(state, index);
    }

    fn say_last(&self, state: &mut State, index: usize, now: u64) {
        let socket = state.conns[index].socket_state.as_deref_mut();
        let Some(last) = socket.and_then(|socket| socket.last.take()) else {
            return;
        };
        self.close_frame(state, index, last.code, &last.reason);
        self.set_ending(state, index, last.ending.code, &last.ending.reason);
        self.finish_socket(state, index, now);
    }

    /// A client that sends faster than the app reads waits.
    fn pause_if_full(&self, state: &mut State, index: usize) {
        let most = self.settings.websocket.queue;
        let conn = &mut state.conns[index];
        if conn
            .socket_state
            .as_deref()
            .is_some_and(|socket| socket.inbox.len() >= most)
        {
            let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
            self.watch(conn, index, Some(rest));
        }
    }

    /// The next message for the app; none: there is none yet.
    pub fn next_event(&self, token: Token) -> Option<Event> {
        let mut state = self.lock();
        let index = token.index as usize;
        let most = self.settings.websocket.queue;
        let conn = state.conn(token)?;
        let socket = conn.socket_state.as_deref_mut()?;
        let Some(event) = socket.inbox.pop_front() else {
            self.say_last(&mut state, index, sys::monotonic_ns());
            return None;
        };
        if socket.inbox.len() == most / 2 && !socket.finished && socket.last.is_none() {
            let interest = conn.interest.unwrap_or(0) | sys::READABLE;
            self.watch(conn, index, Some(interest));
        }
        Some(event)
    }

    /// If the WebSocket has ended: what it was told so far, and how. The connection is the reactor's alone from here on.
    pub fn release_if_ended(&self, token: Token) -> Option<(VecDeque<Event>, Ending)> {
        let mut state = self.lock();
        let Some(conn) = state.conn(token) else {
            return Some((VecDeque::new(), lost()));
        };
        if conn.phase != Phase::Socket {
            return (conn.gone || conn.half_closed).then(|| (VecDeque::new(), lost()));
        }
        let socket = conn.socket_state.as_deref_mut()?;
        let ending = socket.ending.take()?;
        let inbox = std::mem::take(&mut socket.inbox);
        self.release(&mut state, token);
        Some((inbox, ending))
    }

    /// The loop wants nothing more of this connection.
    fn release(&self, state: &mut State, token: Token) {
        let Some(conn) = state.conn(token) else { return };
        conn.on_loop = false;
        let Some(socket) = conn.socket_state.as_deref_mut() else {
            return;
        };
        socket.released = true;
        socket.inbox.clear();
        if socket.finished {
            self.part_socket(state, token.index as usize);
        } else {
            let interest = conn.interest.unwrap_or(0) | sys::READABLE; // for the client's close frame
            self.watch(conn, token.index as usize, Some(interest));
        }
    }

    // --- Writing ---

    /// Sends a message. `Full`: more than `response_buffer` waits for a slow client.
    pub fn send_message(&self, token: Token, is_text: bool, payload: &[u8]) -> Room {
        let index = token.index as usize;
        let mut state = self.lock();
        let Some(socket) = open_socket(&mut state, token) else {
            return Room::Gone;
        };
        let Some(mut encoder) = socket.encoder.take() else {
            return Room::Gone;
        };
        let mut frame = Vec::with_capacity(payload.len() + 16);
        let mut encode = || match is_text {
            true => encoder.text(payload, &mut frame),
            false => encoder.binary(payload, &mut frame),
        };
        if payload.len() >= APART {
            drop(state);
            encode();
            state = self.lock();
        } else {
            encode();
        }
        let Some(socket) = open_socket(&mut state, token) else {
            return Room::Gone;
        };
        socket.encoder = Some(encoder);
        score::add(&self.score.bytes_out, frame.len() as u64);
        self.write(&mut state, index, &frame)
    }

    /// Closes from our side. The app hears of it at once; the client has a moment to answer.
    pub fn close_socket(&self, token: Token, code: u16, reason: &[u8]) {
        let now = sys::monotonic_ns();
        let mut state = self.lock();
        if open_socket(&mut state, token).is_some() {
            self.end_socket(&mut state, token.index as usize, code, reason, now);
        }
        self.release(&mut state, token);
    }

    fn end_socket(&self, state: &mut State, index: usize, code: u16, reason: &[u8], now: u64) {
        self.close_frame(state, index, Some(code), reason);
        self.set_ending(state, index, code, reason);
        if state.conns[index]
            .socket_state
            .as_deref()
            .is_some_and(|it| !it.finished)
        {
            state.set_deadline(index, tick_after(now, CLOSING));
        }
    }

    /// Ends all WebSockets: the worker drains. 1012: the service restarts (IANA's registry of close codes).
    pub(super) fn drain_sockets(&self, now: u64) {
        let mut state = self.lock();
        let sockets: Vec<usize> = state
            .conns
            .iter()
            .filter(|(_, conn)| conn.phase == Phase::Socket)
            .map(|(index, _)| index)
            .collect();
        for index in sockets {
            let is_open = state.conns[index]
                .socket_state
                .as_deref()
                .is_some_and(|socket| !socket.close_sent && !socket.finished);
            if is_open {
                self.end_socket(&mut state, index, 1012, b"the server restarts", now);
            }
        }
    }

    fn close_frame(&self, state: &mut State, index: usize, code: Option<u16>, reason: &[u8]) {
        let Some(socket) = state.conns[index].socket_state.as_deref_mut() else {
            return;
        };
        if socket.close_sent || socket.finished {
            return;
        }
        socket.close_sent = true;
        let mut frame = Vec::new();
        websocket::close(code, reason, &mut frame);
        self.write(state, index, &frame);
    }

    /// Sends bytes, or keeps what the client does not take.
    fn write(&self, state: &mut State, index: usize, bytes: &[u8]) -> Room {
        let conn = &mut state.conns[index];
        let mut sent = 0;
        if conn.output.is_none() {
            match sys::send(conn.socket.as_raw_fd(), bytes) {
                Ok(count) if count == bytes.len() => return Room::Direct,
                Ok(count) => sent = count,
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => {}
                Err(_) => {
                    self.lose_socket(state, index);
                    return Room::Gone;
                }
            }
        }
        let fresh = conn.output.is_none();
        let output: &mut Output = conn.output.get_or_insert_default();
        output.push(Piece::Bytes(bytes[sent..].to_vec()));
        let full = output.held > self.settings.response_buffer;
        if fresh {
            let interest = conn.interest.unwrap_or(0) | sys::WRITABLE;
            self.watch(conn, index, Some(interest));
            let due = tick_after(sys::monotonic_ns(), self.settings.write_timeout);
            state.set_deadline(index, due);
            self.wake_timekeeper();
        }
        if full {
            Room::Full
        } else {
            Room::Held
        }
    }

    /// The client takes bytes again; false: it is gone.
    fn flush_socket(&self, state: &mut State, index: usize) -> bool {
        let State { conns, spent, .. } = &mut *state;
        let conn = &mut conns[index];
        let interest = conn.interest.unwrap_or(0);
        let Some(output) = conn.output.as_deref_mut() else {
            self.watch(conn, index, Some(interest & !sys::WRITABLE));
            return true;
        };
        let held = output.held;
        match output.flush(conn.socket.as_raw_fd(), spent) {
            Flushed::Blocked => {
                let enough = self.settings.response_buffer / 2;
                if held > enough && output.held <= enough {
                    self.tell_loop(state, index);
                }
                true
            }
            Flushed::Broken => {
                self.lose_socket(state, index);
                false
            }
            Flushed::All => {
                conn.output = None;
                self.watch(conn, index, Some(interest & !sys::WRITABLE));
                let now = sys::monotonic_ns();
                self.set_socket_deadline(state, index, now);
                self.tell_loop(state, index);
                let done = state.conns[index].socket_state.as_deref();
                if done.is_some_and(|socket| socket.finished && socket.released) {
                    self.part_socket(state, index);
                    return false;
                }
                true
            }
        }
    }

    // --- Ends ---

    fn set_ending(&self, state: &mut State, index: usize, code: u16, reason: &[u8]) {
        let Some(socket) = state.conns[index].socket_state.as_deref_mut() else {
            return;
        };
        if socket.ending.is_none() && !socket.released {
            socket.ending = Some(Ending {
                code,
                reason: reason.to_vec(),
            });
        }
        self.tell_loop(state, index);
    }

    /// Both sides have said all.
    fn finish_socket(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let Some(socket) = conn.socket_state.as_deref_mut() else {
            return;
        };
        socket.finished = true;
        let released = socket.released;
        let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
        self.watch(conn, index, Some(rest));
        if released && conn.output.is_none() {
            return self.part_socket(state, index);
        }
        state.set_deadline(index, tick_after(now, CLOSING));
    }

    /// Closes the connection so that the client reads our close frame.
    fn part_socket(&self, state: &mut State, index: usize) {
        if state.conns[index].output.is_some() {
            return; // flushed first
        }
        self.begin_linger(state, index, sys::monotonic_ns());
    }

    /// The connection broke.
    fn lose_socket(&self, state: &mut State, index: usize) {
        let socket = state.conns[index].socket_state.as_deref_mut();
        let ending = socket
            .and_then(|socket| socket.last.take())
            .map_or_else(lost, |last| last.ending);
        self.set_ending(state, index, ending.code, &ending.reason);
        let conn = &mut state.conns[index];
        conn.gone = true;
        self.watch(conn, index, None);
        let State { conns, spent, .. } = &mut *state;
        if let Some(mut output) = conns[index].output.take() {
            output.discard(spent);
        }
        let Some(socket) = state.conns[index].socket_state.as_deref_mut() else {
            return;
        };
        socket.finished = true;
        if socket.released {
            self.close(state, index);
        }
    }

    fn set_socket_deadline(&self, state: &mut State, index: usize, now: u64) {
        let due = self.socket_due(&state.conns[index], now);
        state.set_deadline(index, due.map_or(NEVER, |due| tick_after(due, 0)));
    }

    /// When this WebSocket is to be looked at again.
    fn socket_due(&self, conn: &Conn, now: u64) -> Option<u64> {
        let settings = &self.settings.websocket;
        let socket = conn.socket_state.as_deref()?;
        if socket.close_sent || socket.finished {
            return Some(now + CLOSING);
        }
        let silent = match socket.pinged {
            Some(pinged) => Some(pinged + settings.ping_timeout),
            None => (settings.ping_interval > 0).then(|| socket.heard + settings.ping_interval),
        };
        let old = (settings.lifetime > 0).then(|| socket.born + settings.lifetime);
        [silent, old].into_iter().flatten().min()
    }

    /// Its deadline has passed: a ping, a silence, its life, or a client that reads nothing.
    pub(super) fn socket_deadline(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let settings = &self.settings.websocket;
        if let Some(output) = conn.output.as_deref_mut() {
            let stuck = output.progress == 0;
            output.progress = 0;
            if stuck {
                score::add(&self.score.timeouts, 1);
                return self.lose_socket(state, index);
            }
            return state.set_deadline(index, tick_after(now, self.settings.write_timeout));
        }
        let Some(socket) = conn.socket_state.as_deref_mut() else {
            return;
        };
        if socket.last.is_some() {
            return self.say_last(state, index, now); // the app does not take what is there
        }
        if socket.close_sent || socket.finished {
            return self.lose_socket(state, index);
        }
        if settings.lifetime > 0 && now >= socket.born + settings.lifetime {
            return self.end_socket(state, index, 1001, b"ws_lifetime has passed", now);
        }
        match socket.pinged {
            Some(pinged) if now >= pinged + settings.ping_timeout => {
                self.errors.debug(format_args!(
                    "the WebSocket of {} was given up: no answer to a ping within ws_ping_timeout",
                    conn.peer
                ));
                self.close_frame(state, index, Some(1011), b"no answer to a ping");
                return self.lose_socket(state, index);
            }
            None if settings.ping_interval > 0 && now >= socket.heard + settings.ping_interval => {
                socket.pinged = Some(now);
                let mut frame = Vec::new();
                websocket::ping(b"", &mut frame);
                if self.write(state, index, &frame) == Room::Gone {
                    return;
                }
            }
            _ => {}
        }
        if state.conns[index].output.is_none() {
            self.set_socket_deadline(state, index, now);
        }
    }

    /// The app has not accepted in time: true when that is what passed.
    pub(super) fn handshake_deadline(&self, state: &mut State, index: usize, _now: u64) -> bool {
        let conn = &mut state.conns[index];
        if !conn.handshakes {
            return false;
        }
        conn.handshakes = false;
        conn.timed_out = true;
        self.tell_loop(state, index);
        true
    }
}

/// A connection without a close frame (RFC 6455 §7.1.5).
fn lost() -> Ending {
    Ending {
        code: 1006,
        reason: Vec::new(),
    }
}

/// The WebSocket, as long as messages may be sent.
fn open_socket(state: &mut State, token: Token) -> Option<&mut Socket> {
    let conn = state.conn(token).filter(|conn| !conn.gone)?;
    let socket = conn.socket_state.as_deref_mut()?;
    (!socket.close_sent && !socket.finished).then_some(socket)
}
