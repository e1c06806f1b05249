//! Reading: bytes become requests, and whole requests go into the run queue.

use super::conn::{Conn, Phase};
use super::late::Late;
use super::mounts::route;
use super::proxies::settle;
use super::request::{Body, Request, Token, BUFFER};
use super::timers::{tick_after, NEVER};
use super::websocket::check_handshake;
use super::{Core, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::{parse_head, BodyDecoder, Framing};
use hostler_wire::websocket::handshake;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};

/// Bytes read from one connection before the others have their turn.
const TURN: usize = 256 * 1024;
/// Bytes read at once for a body that does not go straight to its place.
pub(super) const SCRATCH: usize = 64 * 1024;

/// What reading came to.
pub(super) enum Got {
    Some(usize),
    Nothing,
    /// The client sends no more.
    End,
    Broken,
}

impl From<io::Result<usize>> for Got {
    fn from(result: io::Result<usize>) -> Self {
        match result {
            Ok(0) => Self::End,
            Ok(count) => Self::Some(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Self::Nothing,
            Err(_) => Self::Broken,
        }
    }
}

impl Core {
    /// Reads what an idle or half-read connection has sent.
    pub(super) fn receive(&self, state: &mut State, index: usize, scratch: &mut Vec<u8>, now: u64) {
        let mut turn = TURN;
        while turn > 0 {
            let more = if state.conns[index].phase == Phase::Body {
                self.receive_body(state, index, scratch, now)
            } else {
                self.receive_head(state, index, now)
            };
            match more {
                Some(count) if state.conns.get(index).is_some_and(|conn| reads(conn.phase)) => {
                    turn = turn.saturating_sub(count);
                }
                _ => return,
            }
        }
    }

    /// One read into the request's buffer. Some(n): n bytes came and there may be more at once.
    fn receive_head(&self, state: &mut State, index: usize, now: u64) -> Option<usize> {
        if state.conns[index].incoming.is_none() {
            let request = state.spare_request();
            state.conns[index].incoming = Some(request);
        }
        let conn = &mut state.conns[index];
        let request = conn.incoming.as_mut()?;
        if request.buffer.capacity() == request.buffer.len() {
            let more = request.buffer.len().max(BUFFER);
            request.buffer.reserve(more);
        }
        let room = request.buffer.capacity() - request.buffer.len();
        match sys::recv(conn.socket.as_raw_fd(), &mut request.buffer, room).into() {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                if conn.phase == Phase::Idle {
                    conn.phase = Phase::Head;
                    if conn.served > 0 {
                        conn.since = now;
                    }
                }
                self.parse(state, index, now);
                (count == room).then_some(count)
            }
            Got::Nothing => {
                self.rest_if_empty(state, index);
                None
            }
            Got::End | Got::Broken => {
                self.close(state, index);
                None
            }
        }
    }

    /// An idle connection keeps no buffer.
    fn rest_if_empty(&self, state: &mut State, index: usize) {
        if state.conns[index].phase == Phase::Idle {
            if let Some(request) = state.conns[index].incoming.take() {
                state.give_back(request);
            }
        }
    }

    /// Looks for a whole head in what has come.
    pub(super) fn parse(&self, state: &mut State, index: usize, now: u64) {
        if !state.conns[index].introduced && !self.introduce(state, index, now) {
            return;
        }
        let conn = &mut state.conns[index];
        let Some(request) = conn.incoming.as_deref_mut() else {
            return;
        };
        match parse_head(&request.buffer, &self.settings.limits, &mut request.head) {
            Ok(true) => self.begin_body(state, index, now),
            Ok(false) => self.await_more_of_head(state, index, now),
            Err(reject) => self.refuse(state, index, reject.status, reject.reason, now),
        }
    }

    /// A head must be whole within `header_timeout`, and come without long gaps.
    pub(super) fn await_more_of_head(&self, state: &mut State, index: usize, now: u64) {
        let whole = tick_after(state.conns[index].since, self.settings.header_timeout);
        let due = match self.settings.body_rules.gap {
            0 => whole,
            gap => whole.min(tick_after(now, gap)),
        };
        state.set_deadline(index, due);
    }

    /// Its time is over.
    pub(super) fn head_deadline(&self, state: &mut State, index: usize, now: u64) {
        let age = now.saturating_sub(state.conns[index].since);
        let reason = match age >= self.settings.header_timeout {
            true => "header_timeout passed before the head was complete",
            false => "nothing of the head came for read_timeout",
        };
        self.refuse(state, index, 408, reason, now);
    }

    /// Takes up a request that another worker has read: its head is parsed once more, its body never.
    pub(super) fn take_up(&self, state: &mut State, index: usize, bytes: &[u8], body: Body, now: u64) {
        let mut request = state.spare_request();
        request.buffer.extend_from_slice(bytes);
        let parsed = parse_head(&request.buffer, &self.settings.limits, &mut request.head);
        let conn = &mut state.conns[index];
        conn.incoming = Some(request);
        conn.phase = Phase::Head;
        self.watch(conn, index, Some(sys::READABLE));
        match parsed {
            Ok(true) => {
                if self.assign(state, index, now) {
                    self.enqueue(state, index, body, now);
                }
            }
            // Limits may have been lowered since the other worker started.
            Err(reject) => self.refuse(state, index, reject.status, reject.reason, now),
            Ok(false) => self.refuse(state, index, 400, "the head that was handed over is not whole", now),
        }
    }

    /// The head is whole: does a body follow?
    fn begin_body(&self, state: &mut State, index: usize, now: u64) {
        if !self.assign(state, index, now) {
            return;
        }
        let conn = &mut state.conns[index];
        let Some(request) = conn.incoming.as_deref_mut() else {
            return;
        };
        let end = request.head.len;
        if matches!(request.head.framing, Framing::None | Framing::Length(0)) {
            set_aside(conn, end);
            return self.enqueue(state, index, Body::Empty, now);
        }
        let decoder = match BodyDecoder::new(request.head.framing, &self.settings.limits) {
            Ok(decoder) => decoder,
            Err(reject) => return self.refuse(state, index, reject.status, reject.reason, now),
        };
        if request.on_loop {
            return self.begin_stream(state, index, decoder, now);
        }
        if request.head.expect_continue && request.buffer.len() == end {
            if self.may_await(state, index) {
                state.conns[index].late = Some(Box::new(Late::new(decoder, now)));
                return self.enqueue(state, index, Body::Awaited, now);
            }
            self.say_continue(state, index);
        }
        self.begin_upload(state, index, decoder, now);
    }

    /// Finds the app of a request; false: it was answered without one.
    fn assign(&self, state: &mut State, index: usize, now: u64) -> bool {
        let conn = &mut state.conns[index];
        let Some(request) = conn.incoming.as_deref_mut() else {
            return false;
        };
        conn.keep_alive = request.head.keep_alive;
        let (trusted, believed) = (&self.settings.trusted_proxies, self.settings.believed);
        settle(request, conn.peer, trusted, believed);
        if let Some(probe) = self.probe(request, conn.listener) {
            self.answer_probe(state, index, probe, now);
            return false;
        }
        let path = request.head.path.of(&request.buffer);
        let asks = handshake::is_asked(&request.head, &request.buffer);
        let mounts = &self.settings.mounts;
        let socket = if asks { route(mounts, path, true) } else { None };
        let Some(mount) = socket.or_else(|| route(mounts, path, false)) else {
            let status = if asks { 403 } else { 404 };
            self.refuse(
                state,
                index,
                status,
                "no app is mounted at this path for this protocol",
                now,
            );
            return false;
        };
        request.mount = mount;
        request.on_loop = mounts[mount].on_loop;
        request.websocket = socket.is_some() && request.on_loop;
        request.upgrade = asks && !request.on_loop;
        let Err(reject) = check_handshake(request) else {
            return true;
        };
        self.refuse(state, index, reject.status, reject.reason, now);
        false
    }

    /// Puts a whole request into the run queue, or refuses it when that is full.
    pub(super) fn enqueue(&self, state: &mut State, index: usize, body: Body, now: u64) {
        if state.queue.len() + state.loop_queue.len() >= self.settings.queue_size {
            return self.refuse(state, index, 503, "queue_size reached: every app thread is busy", now);
        }
        state.set_deadline(index, NEVER);
        let conn = &mut state.conns[index];
        let Some(mut request) = conn.incoming.take() else {
            return;
        };
        conn.phase = Phase::InFlight;
        conn.served = conn.served.saturating_add(1);
        request.token = Token {
            index: index as u32,
            generation: conn.generation,
        };
        request.fd = conn.socket.as_raw_fd();
        request.listener = usize::from(conn.listener);
        request.body = body;
        let waits_since = std::mem::take(&mut conn.waits_since);
        request.queued_ns = if waits_since == 0 { now } else { waits_since };
        if request.on_loop {
            return self.enqueue_for_loop(state, index, request, waits_since, now);
        }
        put_in(&mut state.queue, request, waits_since);
        score::set(&self.score.queued, state.queue.len() + state.loop_queue.len());
        if state.roles.monitor_asleep {
            state.roles.monitor_asleep = false;
            self.monitor_wake.notify_one();
        }
    }

    fn enqueue_for_loop(&self, state: &mut State, index: usize, request: Box<Request>, waits_since: u64, now: u64) {
        let conn = &mut state.conns[index];
        conn.on_loop = true;
        let patience = self.settings.websocket.handshake_timeout;
        conn.handshake_due = (request.websocket && patience > 0).then(|| now + patience);
        self.set_in_flight_deadline(state, index);
        put_in(&mut state.loop_queue, request, waits_since);
        self.wake_loop(state);
        score::set(&self.score.queued, state.queue.len() + state.loop_queue.len());
    }
}

/// The last in the queue, unless it has waited elsewhere since (0: it has not).
fn put_in(queue: &mut VecDeque<Box<Request>>, request: Box<Request>, waits_since: u64) {
    if waits_since == 0 {
        return queue.push_back(request);
    }
    let place = queue.partition_point(|other| other.queued_ns <= waits_since);
    queue.insert(place, request);
}

/// Whether the reactor reads in this phase.
fn reads(phase: Phase) -> bool {
    matches!(phase, Phase::Idle | Phase::Head | Phase::Body)
}

/// Keeps the bytes that came behind the current request for the next one.
pub(super) fn set_aside(conn: &mut Conn, end: usize) {
    let Some(request) = conn.incoming.as_deref_mut() else {
        return;
    };
    if request.buffer.len() > end {
        conn.leftover.extend_from_slice(&request.buffer[end..]);
        request.buffer.truncate(end);
    }
}

pub(super) fn read_scratch(fd: RawFd, scratch: &mut Vec<u8>) -> Got {
    scratch.clear();
    scratch.reserve(SCRATCH);
    sys::recv(fd, scratch, SCRATCH).into()
}
