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
/// Bytes of messages that may wait for the app. The message that reaches it may be as long as `ws_max_size`.
const INBOX: usize = 1024 * 1024;
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
    /// Messages for the app, and their bytes.
    inbox: VecDeque<Event>,
    inbox_bytes: usize,
    /// The latest ping that came while output waited: the only one that is answered (RFC 6455 §5.5.3).
    pong_due: Option<Vec<u8>>,
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
    /// How much of messages had come when they were last seen to grow, and when that was (monotonic ns).
    grown: (u64, u64),
}

impl Socket {
    /// As many messages wait for the app as may: what follows is not even decoded, it may be long.
    fn is_full(&self, most: usize) -> bool {
        !self.released && (self.inbox.len() >= most || self.inbox_bytes >= INBOX)
    }

    /// Bytes of the client are wanted.
    fn is_read(&self, most: usize) -> bool {
        !self.finished && self.last.is_none() && !self.is_full(most)
    }

    /// Our close frame is on its way, or nothing more comes: what is left has `CLOSING` to go out.
    fn is_closing(&self) -> bool {
        self.close_sent || self.finished
    }

    fn take_message(&mut self) -> Option<Event> {
        let event = self.inbox.pop_front()?;
        self.inbox_bytes -= length(&event);
        Some(event)
    }

    fn drop_messages(&mut self) -> VecDeque<Event> {
        self.inbox_bytes = 0;
        std::mem::take(&mut self.inbox)
    }
}

/// Bytes of a message.
fn length(event: &Event) -> usize {
    match event {
        Event::Text(bytes) | Event::Binary(bytes) => bytes.len(),
        _ => 0,
    }
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
        conn.handshake_due = None;
        conn.socket_state = Some(Box::new(Socket {
            decoder: Decoder::new(limits, deflate),
            encoder: Some(Encoder::new(deflate)),
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            pong_due: None,
            ending: None,
            last: None,
            close_sent: false,
            released: false,
            finished: false,
            born: now,
            heard: now,
            pinged: None,
            grown: (0, now),
        }));
        let _ = self.write(&mut state, index, head); // one head
        self.go_on_with_socket(&mut state, index, now);
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
        if ready & sys::WRITABLE != 0 && !self.flush_socket(state, index, now) {
            return;
        }
        if ready & sys::READABLE == 0 || !self.reads_socket(&state.conns[index]) {
            return self.set_socket_interest(state, index);
        }
        match read_scratch(state.conns[index].socket.as_raw_fd(), scratch) {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                self.feed_socket(state, index, scratch, now);
            }
            Got::Nothing => {}
            Got::End | Got::Broken => self.lose_socket(state, index),
        }
    }

    /// Whether bytes of the client are read: not while the app has enough to do, nor while the client does not take what it
    /// was sent. All of it would wait in memory.
    fn reads_socket(&self, conn: &Conn) -> bool {
        let Some(socket) = conn.socket_state.as_deref() else {
            return false;
        };
        let is_behind = conn.output.as_deref().is_some_and(|output| !self.is_within(output));
        socket.is_read(self.settings.websocket.queue) && conn.leftover.is_empty() && !is_behind
    }

    /// Has epoll watch for what this WebSocket waits for. Called whenever that may have changed.
    fn set_socket_interest(&self, state: &mut State, index: usize) {
        let conn = &mut state.conns[index];
        if conn.phase != Phase::Socket || conn.gone {
            return;
        }
        let mut interest = 0;
        if self.reads_socket(conn) {
            interest |= sys::READABLE;
        }
        if conn.output.is_some() {
            interest |= sys::WRITABLE;
        }
        let resumes = interest & sys::READABLE != 0 && !is_heard(conn);
        self.watch(conn, index, Some(interest));
        if !resumes {
            return;
        }
        let now = sys::monotonic_ns();
        if let Some(socket) = conn.socket_state.as_deref_mut() {
            // The pause was ours: what the client said meanwhile waits in the kernel, a pong too.
            (socket.heard, socket.grown.1) = (now, now);
            socket.pinged = socket.pinged.map(|_| now);
        }
        if conn.output.is_none() {
            self.set_socket_deadline(state, index, now);
        }
    }

    /// Reads on: first what was read before the pause.
    fn go_on_with_socket(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let bytes = std::mem::take(&mut conn.leftover);
        self.feed_socket(state, index, &bytes, now);
        if state.conns.get(index).is_some_and(|conn| conn.output.is_none()) {
            self.set_socket_deadline(state, index, now);
        }
    }

    fn feed_socket(&self, state: &mut State, index: usize, mut bytes: &[u8], now: u64) {
        let most = self.settings.websocket.queue;
        if let Some(socket) = state.conns[index].socket_state.as_deref_mut() {
            socket.heard = now;
            socket.pinged = None;
        }
        loop {
            let conn = &mut state.conns[index];
            let Some(socket) = conn.socket_state.as_deref_mut() else {
                return;
            };
            if socket.is_full(most) {
                conn.leftover = bytes.to_vec(); // decoded when the app has taken some
                break;
            }
            let event = socket.decoder.next(&mut bytes);
            if socket.decoder.taken() != socket.grown.0 {
                socket.grown = (socket.decoder.taken(), now);
            }
            match event {
                Ok(None) => break,
                Ok(Some(event)) => {
                    if !self.on_socket_event(state, index, event, now) {
                        return;
                    }
                }
                Err(failure) => return self.fail_socket(state, index, &failure, now),
            }
        }
        self.set_socket_interest(state, index);
        let conn = &state.conns[index];
        let socket = conn.socket_state.as_deref();
        if conn.output.is_none() && socket.is_some_and(|socket| !socket.decoder.is_between_messages()) {
            self.set_socket_deadline(state, index, now); // a message that has begun must go on
        }
    }

    /// The client has said something; false: that was its last.
    fn on_socket_event(&self, state: &mut State, index: usize, event: Event, now: u64) -> bool {
        let conn = &mut state.conns[index];
        let has_output = conn.output.is_some();
        let Some(socket) = conn.socket_state.as_deref_mut() else {
            return false;
        };
        let is_open = !socket.close_sent;
        match event {
            Event::Text(_) | Event::Binary(_) => {
                if is_open && socket.ending.is_none() {
                    socket.inbox_bytes += length(&event);
                    socket.inbox.push_back(event);
                    self.tell_loop(state, index);
                }
            }
            Event::Ping(payload) if is_open && has_output => socket.pong_due = Some(payload),
            Event::Ping(payload) if is_open => return self.say_pong(state, index, &payload),
            Event::Ping(_) | Event::Pong(_) => {}
            Event::Close { code, reason } => {
                let ending = Ending {
                    code: code.unwrap_or(1005),
                    reason,
                };
                self.end_after_inbox(state, index, code, b"", ending, now);
                return false;
            }
        }
        true
    }

    /// False: the client is gone.
    fn say_pong(&self, state: &mut State, index: usize, payload: &[u8]) -> bool {
        let mut frame = Vec::with_capacity(payload.len() + 2);
        websocket::pong(payload, &mut frame);
        self.write(state, index, &frame) != Room::Gone
    }

    fn fail_socket(&self, state: &mut State, index: usize, failure: &websocket::Failure, now: u64) {
        let ending = Ending {
            code: failure.code,
            reason: failure.reason.as_bytes().to_vec(),
        };
        self.errors.warning(format_args!(
            "the WebSocket of {} was closed with {}: {}",
            state.conns[index].peer, failure.code, failure.reason
        ));
        let code = Some(failure.code);
        self.end_after_inbox(state, index, code, failure.reason.as_bytes(), ending, now);
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
        self.set_socket_interest(state, index);
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

    /// The next message for the app; none: there is none yet.
    pub fn next_event(&self, token: Token) -> Option<Event> {
        let mut state = self.lock();
        let index = token.index as usize;
        let most = self.settings.websocket.queue;
        let conn = state.conn(token)?;
        let was_full = conn.socket_state.as_deref()?.is_full(most);
        let socket = conn.socket_state.as_deref_mut()?;
        let Some(event) = socket.take_message() else {
            self.say_last(&mut state, index, sys::monotonic_ns());
            return None;
        };
        let is_paused = was_full || !conn.leftover.is_empty() || conn.interest.unwrap_or(0) & sys::READABLE == 0;
        let has_room = socket.inbox.len() <= most / 2 && socket.inbox_bytes <= INBOX / 2;
        if is_paused && has_room && socket.is_read(most) {
            self.go_on_with_socket(&mut state, index, sys::monotonic_ns());
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
        let inbox = socket.drop_messages();
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
        drop(socket.drop_messages());
        if socket.finished {
            self.part_socket(state, token.index as usize);
        } else {
            self.go_on_with_socket(state, token.index as usize, sys::monotonic_ns());
            // for the client's close frame
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
        let _ = self.write(state, index, &frame); // once
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
        let output = conn
            .output
            .get_or_insert_with(|| Box::new(Output::counted(&self.ledger)));
        output.push(Piece::Bytes(bytes[sent..].to_vec()));
        let is_full = !self.is_within(output);
        if fresh {
            output.due = sys::monotonic_ns() + self.settings.write_timeout;
            let due = tick_after(output.due, 0);
            state.set_deadline(index, due);
            self.wake_timekeeper();
        }
        if fresh || is_full {
            self.set_socket_interest(state, index);
        }
        if is_full {
            Room::Full
        } else {
            Room::Held
        }
    }

    /// The client takes bytes again; false: it is gone.
    fn flush_socket(&self, state: &mut State, index: usize, now: u64) -> bool {
        let State { conns, spent, .. } = &mut *state;
        let conn = &mut conns[index];
        let Some(output) = conn.output.as_deref_mut() else {
            self.set_socket_interest(state, index);
            return true;
        };
        let had_room = self.has_room_in(output);
        match output.flush(conn.socket.as_raw_fd(), spent) {
            Flushed::Blocked | Flushed::Away | Flushed::Cold => {
                if !had_room && self.has_room_in(output) {
                    self.tell_loop(state, index);
                    self.set_socket_interest(state, index);
                }
                true
            }
            Flushed::Broken => {
                self.lose_socket(state, index);
                false
            }
            Flushed::All => self.socket_is_flushed(state, index, now),
        }
    }

    /// The client has taken all; false: the connection is over.
    fn socket_is_flushed(&self, state: &mut State, index: usize, now: u64) -> bool {
        let conn = &mut state.conns[index];
        conn.output = None;
        let Some(socket) = conn.socket_state.as_deref_mut() else {
            return false;
        };
        let pong = socket.pong_due.take().filter(|_| !socket.close_sent);
        if socket.finished && socket.released {
            self.part_socket(state, index);
            return false;
        }
        if pong.is_some_and(|payload| !self.say_pong(state, index, &payload)) {
            return false;
        }
        if state.conns[index].output.is_none() {
            self.set_socket_deadline(state, index, now);
        }
        self.set_socket_interest(state, index);
        self.tell_loop(state, index);
        true
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
        if released && conn.output.is_none() {
            return self.part_socket(state, index);
        }
        self.set_socket_interest(state, index);
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
        let gap = self.settings.body_rules.gap;
        let is_reading = is_heard(conn);
        let silent = match socket.pinged {
            _ if !is_reading => None, // it cannot be heard
            Some(pinged) => Some(pinged + settings.ping_timeout),
            None => (settings.ping_interval > 0).then(|| socket.heard + settings.ping_interval),
        };
        let old = (settings.lifetime > 0).then(|| socket.born + settings.lifetime);
        let is_partial = is_reading && gap > 0 && !socket.decoder.is_between_messages();
        let stopped = is_partial.then(|| socket.grown.1 + gap);
        [silent, old, stopped].into_iter().flatten().min()
    }

    /// Its deadline has passed: a ping, a silence, its life, or a client that reads nothing.
    pub(super) fn socket_deadline(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let settings = &self.settings.websocket;
        let is_closing = conn.socket_state.as_deref().is_some_and(Socket::is_closing);
        if let Some(output) = conn.output.as_deref_mut() {
            let patience = if is_closing {
                CLOSING
            } else {
                self.settings.write_timeout
            };
            if is_closing || output.due <= now {
                if output.progress == 0 {
                    score::add(&self.score.timeouts, 1);
                    return self.lose_socket(state, index);
                }
                (output.progress, output.due) = (0, now + patience);
            }
            let due = tick_after(output.due, 0);
            return state.set_deadline(index, due);
        }
        let (is_reading, peer) = (is_heard(conn), conn.peer);
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
        let gap = self.settings.body_rules.gap;
        let is_partial = is_reading && gap > 0 && !socket.decoder.is_between_messages();
        if is_partial && now >= socket.grown.1 + gap {
            score::add(&self.score.timeouts, 1);
            self.errors.warning(format_args!(
                "the WebSocket of {peer} was closed with 1008: nothing of a message came for read_timeout"
            ));
            return self.end_socket(state, index, 1008, b"a message stopped in the middle", now);
        }
        match socket.pinged {
            Some(pinged) if is_reading && now >= pinged + settings.ping_timeout => {
                self.errors.debug(format_args!(
                    "the WebSocket of {peer} was given up: no answer to a ping within ws_ping_timeout"
                ));
                self.close_frame(state, index, Some(1011), b"no answer to a ping");
                return self.lose_socket(state, index);
            }
            None if is_reading && settings.ping_interval > 0 && now >= socket.heard + settings.ping_interval => {
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

    /// The app has not accepted in time.
    pub(super) fn handshake_deadline(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        if conn.handshake_due.is_some_and(|due| due <= now) {
            conn.handshake_due = None;
            conn.timed_out = true;
            self.tell_loop(state, index);
        }
    }
}

/// Whether its bytes are read at the moment. While they are not, because the app or the client takes nothing, no time of the
/// client's counts. (That it may be read again, `reads_socket`, is not enough: reading goes on when half is taken.)
fn is_heard(conn: &Conn) -> bool {
    conn.interest.unwrap_or(0) & sys::READABLE != 0
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
