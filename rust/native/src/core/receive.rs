//! Reading: bytes become requests, and whole requests go into the run queue.

use super::conn::{Conn, Late, Phase, Upload};
use super::mounts::route;
use super::proxies::settle;
use super::request::{Body, Gather, Request, Token, BUFFER};
use super::stream::Stream;
use super::timers::{tick_after, NEVER};
use super::websocket::check_handshake;
use super::{Core, State};
use crate::score;
use crate::sys;
use hostler_wire::http1::{parse_head, BodyDecoder, Framing, Reject};
use hostler_wire::websocket::handshake;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};

/// Bytes read from one connection before the others have their turn.
const TURN: usize = 256 * 1024;
/// Bytes read at once for a body that does not go straight to its place.
const SCRATCH: usize = 64 * 1024;

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

/// What a part of a body leads to.
enum Fed {
    More,
    Whole,
    Refused(Reject),
    /// The temporary file could not be written.
    NoRoom(io::Error),
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
            Ok(false) => {
                let due = tick_after(conn.since, self.settings.header_timeout);
                state.set_deadline(index, due);
            }
            Err(reject) => self.refuse(state, index, reject.status, reject.reason, now),
        }
    }

    /// The head is whole: does a body follow?
    fn begin_body(&self, state: &mut State, index: usize, now: u64) {
        if !self.assign(state, index, now) {
            return;
        }
        let may_await = self.may_await(state, index);
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
        let mut upload = Box::new(Upload {
            decoder,
            inline_end: None,
            gather: Gather::new(),
            since: now,
            received: 0,
        });
        if request.head.expect_continue && request.buffer.len() == end {
            if may_await {
                conn.late = Some(Box::new(Late::Reading(upload)));
                return self.enqueue(state, index, Body::Awaited, now);
            }
            go_on(conn.socket.as_raw_fd());
        }
        conn.phase = Phase::Body;
        match upload.decoder.remaining() {
            Some(length) if length <= self.settings.body_memory as u64 => {
                let whole = end + length as usize;
                request.buffer.reserve(whole.saturating_sub(request.buffer.len()));
                upload.inline_end = Some(whole);
                let here = (request.buffer.len() - end).min(length as usize);
                upload.decoder.advance(here as u64);
                upload.received = here as u64;
                conn.upload = Some(upload);
                self.body_progress(state, index, Fed::More, now);
            }
            _ => {
                let behind = request.buffer.split_off(end);
                conn.upload = Some(upload);
                let fed = self.feed(conn, &behind);
                self.body_progress(state, index, fed, now);
            }
        }
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

    /// An app on the event loop is called before its body is there, unless it is already.
    fn begin_stream(&self, state: &mut State, index: usize, decoder: BodyDecoder, now: u64) {
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
        if let Err(reason) = Self::feed_stream(conn, &behind) {
            conn.stream = None;
            return self.refuse(state, index, 400, reason, now);
        }
        self.enqueue(state, index, Body::Streamed, now);
    }

    /// Whether the app may be called before this body is there, and its thread wait for the client when it reads.
    ///
    /// Not for chunks: the length must stand in the environ, apps such as Django read no further than CONTENT_LENGTH says.
    /// And not in a greenlet, whose thread is everybody's. And not for more than half of the threads: a few slow clients would have them all.
    fn may_await(&self, state: &State, index: usize) -> bool {
        let Some(head) = state.conns[index].incoming.as_deref().map(|request| &request.head) else {
            return false;
        };
        if !head.expect_continue || head.framing == Framing::Chunked || self.settings.greenlets {
            return false;
        }
        let is_awaited = |token: Token| {
            let conn = state.conns.get(token.index as usize);
            conn.is_some_and(|conn| conn.generation == token.generation && conn.late.is_some())
        };
        let running = state.roles.running().filter(|(_, run, _)| is_awaited(run.token));
        let queued = state
            .queue
            .iter()
            .filter(|request| matches!(request.body, Body::Awaited));
        running.count() + queued.count() < self.settings.threads / 2
    }

    /// One read of body bytes. Some(n): n bytes came and there may be more at once.
    fn receive_body(&self, state: &mut State, index: usize, scratch: &mut Vec<u8>, now: u64) -> Option<usize> {
        let conn = &mut state.conns[index];
        let upload = conn.upload.as_deref_mut()?;
        let fd = conn.socket.as_raw_fd();
        let (got, room, fed) = match (upload.inline_end, conn.incoming.as_deref_mut()) {
            (Some(end), Some(request)) => {
                let room = end - request.buffer.len();
                let got: Got = sys::recv(fd, &mut request.buffer, room).into();
                if let Got::Some(count) = got {
                    upload.decoder.advance(count as u64);
                    upload.received += count as u64;
                }
                (got, room, Fed::More)
            }
            _ => {
                let got = read_scratch(fd, scratch);
                let fed = self.feed(conn, scratch);
                (got, SCRATCH, fed)
            }
        };
        match got {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                self.body_progress(state, index, fed, now);
                (count == room).then_some(count)
            }
            Got::Nothing => None,
            Got::End | Got::Broken => {
                self.errors.debug(format_args!(
                    "{} left in the middle of a request body",
                    state.conns[index].peer
                ));
                self.close(state, index);
                None
            }
        }
    }

    /// Decodes body bytes into their gathering place; what lies behind the body is set aside.
    fn feed(&self, conn: &mut Conn, bytes: &[u8]) -> Fed {
        let upload = match (&mut conn.upload, conn.late.as_deref_mut()) {
            (Some(upload), _) => upload,
            (None, Some(Late::Reading(upload))) => upload,
            _ => return Fed::More,
        };
        upload.received += bytes.len() as u64;
        let mut at = 0;
        while at < bytes.len() && !upload.decoder.is_done() {
            let step = match upload.decoder.step(&bytes[at..]) {
                Ok(step) => step,
                Err(reject) => return Fed::Refused(reject),
            };
            let data = &bytes[at + step.data.start..at + step.data.end];
            if let Err(error) = upload
                .gather
                .append(data, self.settings.body_memory, &self.settings.temp_dir)
            {
                return Fed::NoRoom(error);
            }
            at += step.consumed;
        }
        conn.leftover.extend_from_slice(&bytes[at..]);
        Fed::More
    }

    fn body_progress(&self, state: &mut State, index: usize, fed: Fed, now: u64) {
        match self.settle(&state.conns[index], fed) {
            Fed::More => {
                let upload = state.conns[index].upload.as_deref();
                let due = upload.and_then(|upload| self.upload_due(upload.since, upload.received));
                state.set_deadline(index, due.map_or(NEVER, |due| tick_after(due, 0)));
            }
            Fed::Whole => self.end_body(state, index, now),
            Fed::Refused(reject) => self.refuse(state, index, reject.status, reject.reason, now),
            Fed::NoRoom(error) => {
                self.errors.error(format_args!(
                    "a request body cannot be stored in {}: {error}; free space there or set temp_dir",
                    self.settings.temp_dir
                ));
                self.refuse(state, index, 507, "no room for the body", now);
            }
        }
    }

    /// `More` becomes `Whole` when the decoder has all.
    fn settle(&self, conn: &Conn, fed: Fed) -> Fed {
        let decoder = match (conn.upload.as_deref(), conn.late.as_deref()) {
            (Some(upload), _) => &upload.decoder,
            (None, Some(Late::Reading(upload))) => &upload.decoder,
            _ => return fed,
        };
        match fed {
            Fed::More if decoder.is_done() => Fed::Whole,
            other => other,
        }
    }

    fn end_body(&self, state: &mut State, index: usize, now: u64) {
        let conn = &mut state.conns[index];
        let Some(upload) = conn.upload.take() else { return };
        let body = match (upload.inline_end, conn.incoming.as_deref()) {
            (Some(end), Some(request)) => {
                let start = request.head.len;
                set_aside(conn, end);
                Body::Inline { start, end }
            }
            _ => upload.gather.finish(),
        };
        self.enqueue(state, index, body, now);
    }

    /// Puts a whole request into the run queue, or refuses it when that is full.
    fn enqueue(&self, state: &mut State, index: usize, body: Body, now: u64) {
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
        conn.handshakes = request.websocket;
        if request.websocket && self.settings.websocket.handshake_timeout > 0 {
            let due = tick_after(now, self.settings.websocket.handshake_timeout);
            state.set_deadline(index, due);
        }
        put_in(&mut state.loop_queue, request, waits_since);
        self.wake_loop(state);
        score::set(&self.score.queued, state.queue.len() + state.loop_queue.len());
    }

    /// Reads for an app thread that waits for its late body.
    pub(super) fn receive_late(&self, state: &mut State, index: usize, scratch: &mut Vec<u8>, now: u64) {
        let conn = &mut state.conns[index];
        let fed = match read_scratch(conn.socket.as_raw_fd(), scratch) {
            Got::Some(count) => {
                score::add(&self.score.bytes_in, count as u64);
                self.feed(conn, scratch)
            }
            Got::Nothing => return,
            Got::End | Got::Broken => return self.end_late(state, index, Late::Failed("the client left"), now),
        };
        match self.settle(&state.conns[index], fed) {
            Fed::More => {
                let Some(Late::Reading(upload)) = state.conns[index].late.as_deref() else {
                    return;
                };
                let due = self.upload_due(upload.since, upload.received);
                state.set_deadline(index, due.map_or(NEVER, |due| tick_after(due, 0)));
            }
            Fed::Whole => {
                let Some(Late::Reading(upload)) = state.conns[index].late.take().map(|late| *late) else {
                    return;
                };
                self.end_late(state, index, Late::Done(upload.gather.finish()), now);
            }
            Fed::Refused(reject) => self.end_late(state, index, Late::Failed(reject.reason), now),
            Fed::NoRoom(_) => self.end_late(state, index, Late::Failed("no room for the body in temp_dir"), now),
        }
    }

    pub(super) fn end_late(&self, state: &mut State, index: usize, outcome: Late, _now: u64) {
        state.set_deadline(index, NEVER);
        let conn = &mut state.conns[index];
        if let Late::Failed(reason) = &outcome {
            conn.keep_alive = false;
            self.errors.warning(format_args!(
                "the body of a request from {} was not read whole: {reason}",
                conn.peer
            ));
            let rest = conn.interest.unwrap_or(0) & !sys::READABLE;
            self.watch(conn, index, Some(rest));
        }
        state.conns[index].late = Some(Box::new(outcome));
        self.progress.notify_all();
    }

    /// Whether the body of a running request has not been read.
    pub(super) fn body_is_awaited(&self, token: Token) -> bool {
        self.lock().conn(token).is_some_and(|conn| conn.late.is_some())
    }

    /// Says "100 Continue" and waits until the body is there. Called by the app's thread, without the interpreter's lock.
    pub fn await_body(&self, token: Token) -> Result<Body, &'static str> {
        let mut state = self.lock();
        let now = sys::monotonic_ns();
        match state.conn(token) {
            Some(conn) if conn.gone => return Err("the client left"),
            Some(conn) => match conn.late.as_deref_mut() {
                Some(Late::Reading(upload)) => {
                    upload.since = now;
                    go_on(conn.socket.as_raw_fd());
                    let interest = conn.interest.unwrap_or(0) | sys::READABLE;
                    self.watch(conn, token.index as usize, Some(interest));
                }
                _ => return Err("the body was read already"),
            },
            None => return Err("the client left"),
        }
        state.set_deadline(token.index as usize, tick_after(now, self.settings.body_timeout));
        self.wake_timekeeper();
        loop {
            let Some(conn) = state.conn(token) else {
                return Err("the request is over");
            };
            match conn.late.take().map(|late| *late) {
                Some(Late::Done(body)) => return Ok(body),
                Some(Late::Failed(reason)) => {
                    conn.late = Some(Box::new(Late::Failed(reason)));
                    return Err(reason);
                }
                Some(reading) => conn.late = Some(Box::new(reading)),
                None => return Err("the request is over"), // a thread of the app's own, later than its answer
            }
            if conn.gone {
                return Err("the client left");
            }
            state = self
                .progress
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
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

/// Tells the client to send its body (RFC 9110 §10.1.1).
pub(super) fn go_on(fd: RawFd) {
    // 25 bytes fit into the send buffer of a client whose request has not been answered yet.
    let _ = sys::send(fd, b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Whether the reactor reads in this phase.
fn reads(phase: Phase) -> bool {
    matches!(phase, Phase::Idle | Phase::Head | Phase::Body)
}

/// Keeps the bytes that came behind the current request for the next one.
fn set_aside(conn: &mut Conn, end: usize) {
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
