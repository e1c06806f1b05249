//! One answer: the app's status and fields are checked and written, its body framed and counted, straight to the socket.
//! Knows nothing of Python: a driver feeds it bytes.

use super::output::{turn_of, Flushed, Output, Piece, Shared};
use super::request::{Body, Request, Token};
use super::{After, Core};
use crate::log::Stamp;
use crate::sys;
use hostler_wire::http1::response::{
    chunk_header, has_body, is_field_value, is_forbidden_trailer, is_hop_by_hop, is_token, parse_length, plan,
    reason_phrase, BodyFraming, Plan,
};
use hostler_wire::http1::Version;
use std::io::{ErrorKind, IoSlice};
use std::os::fd::{OwnedFd, RawFd};
use std::sync::Arc;

/// A body part up to this size is copied behind the head, so that both leave in one call.
const JOIN: usize = 16 * 1024;
/// Parts above `JOIN` that follow each other faster than this (ns) leave together, up to so many bytes: each send may wake
/// the client. With parts of 64 KB that halves the CPU.
const GAP: u64 = 200_000;
const GATHERED: usize = 256 * 1024;
/// Bytes of a file that the event loop sends itself.
const AT_ONCE: u64 = 1024 * 1024;

/// Why a status line or field of the app cannot be sent.
#[derive(Debug, PartialEq, Eq)]
pub enum HeadError {
    Status,
    Name,
    Value,
    Length,
}

impl HeadError {
    pub fn message(&self) -> &'static str {
        match self {
            Self::Status => "the status must be three digits from 200 to 999, a space and a reason without CR or LF",
            Self::Name => "a header name must be a token (RFC 9110 5.1)",
            Self::Value => "a header value must not contain CR, LF, NUL or other control characters (RFC 9110 5.5)",
            Self::Length => "Content-Length must be one decimal number",
        }
    }
}

/// Where written bytes went. `Full` asks the caller to wait: output that nobody waits for has no bound.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// To the socket.
    Direct,
    /// Behind others, for a slow client.
    Held,
    /// As above, and more than `response_buffer` waits: the caller should wait for room.
    Full,
    /// Nowhere: the client is gone.
    Gone,
}

/// Bytes of an open file.
#[derive(Clone, Copy, Debug)]
pub struct FilePart {
    pub fd: RawFd,
    pub offset: u64,
    pub length: u64,
}

/// How an answer ended.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    pub status: u16,
    /// Body bytes.
    pub bytes: u64,
    pub keep_alive: bool,
    /// The connection must break so that the client can tell that the answer is incomplete.
    pub reset: bool,
    pub client_gone: bool,
    pub app_error: bool,
    /// The body was shorter than the app's Content-Length by this much.
    pub missing: u64,
    /// The app sent more than its Content-Length; the excess was cut.
    pub excess: bool,
}

/// Whoever keeps the bytes of a body part alive: taken when the client is slow, so that they wait uncopied; left alone
/// (or absent) otherwise.
pub type Owner = Option<Box<dyn Shared>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No status yet.
    Fresh,
    /// Status and fields are known, nothing has been sent.
    Started,
    Sending,
    Ended,
}

/// The answer under way. One lives in each app thread and is reset for each request, keeping its memory.
pub struct Exchange {
    token: Token,
    thread: usize,
    fd: RawFd,
    version: Version,
    head_request: bool,
    /// Both sides may keep the connection, as far as is known.
    keep_alive: bool,
    phase: Phase,
    status: u16,
    /// Status line and fields.
    head: Vec<u8>,
    /// A copy of the app's part of the head, when the access log asks for response fields.
    lines: Vec<u8>,
    declared: Option<u64>,
    has_date: bool,
    has_server: bool,
    /// The body is a stream of server-sent events: each ends by itself, so a stream without its end is whole.
    is_event_stream: bool,
    /// How the body is framed; `None` where no body follows, whatever the head announces.
    plan: Plan,
    sent: u64,
    excess: bool,
    gone: bool,
    /// The client waits for "100 Continue": unless its body is read, nobody knows whether it will still send it.
    awaited: bool,
    /// The request runs on the event loop.
    on_loop: bool,
    /// Bytes of this answer wait in the reactor's hands: later ones go behind them.
    held: bool,
    /// The last chunk goes with the part that is being sent.
    is_last: bool,
    /// A file had fewer bytes than were announced: nothing may follow.
    is_torn: bool,
    /// Field lines for the end of a chunked body.
    trailers: Vec<u8>,
    /// Large parts that leave together with the next, and when the last one came.
    gathered: Output,
    gathering: u64,
    pub stamp: Stamp,
}

impl Default for Exchange {
    fn default() -> Self {
        Self {
            token: Token {
                index: 0,
                generation: 0,
            },
            thread: 0,
            fd: -1,
            version: Version::Http11,
            head_request: false,
            keep_alive: false,
            phase: Phase::Ended,
            status: 0,
            head: Vec::with_capacity(1024),
            lines: Vec::new(),
            declared: None,
            has_date: false,
            has_server: false,
            is_event_stream: false,
            plan: Plan {
                framing: BodyFraming::None,
                keep_alive: false,
            },
            sent: 0,
            excess: false,
            gone: false,
            awaited: false,
            on_loop: false,
            held: false,
            is_last: false,
            is_torn: false,
            trailers: Vec::new(),
            gathered: Output::default(),
            gathering: 0,
            stamp: Stamp::default(),
        }
    }
}

impl Exchange {
    /// Begins the answer to `request`.
    pub fn reset(&mut self, request: &Request) {
        self.token = request.token;
        self.thread = request.thread;
        self.fd = request.fd;
        self.version = request.head.version;
        self.head_request = request.method() == b"HEAD";
        self.keep_alive = request.head.keep_alive;
        self.phase = Phase::Fresh;
        self.status = 0;
        self.sent = 0;
        self.excess = false;
        self.gone = false;
        self.awaited = matches!(request.body, Body::Awaited | Body::Streamed);
        self.on_loop = request.on_loop;
        self.held = false;
        self.is_last = false;
        self.is_torn = false;
        self.trailers.clear();
        self.gathered.discard(&mut Vec::new());
        self.gathering = 0;
        self.lines.clear();
    }

    pub fn is_started(&self) -> bool {
        self.phase != Phase::Fresh
    }

    /// The head is on its way: the status can't be changed any more.
    pub fn is_sending(&self) -> bool {
        matches!(self.phase, Phase::Sending | Phase::Ended)
    }

    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Nothing more is wanted of the body: it is whole, the response has none, or the client is gone.
    pub fn is_satisfied(&self) -> bool {
        self.gone || self.is_complete() || self.is_bodiless()
    }

    /// The whole of a counted body has been given: the thread need not wait for a slow client, nothing more will come.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Sending && matches!(self.plan.framing, BodyFraming::Length(length) if self.sent == length)
    }

    /// The head has gone, and no body follows it (HEAD, 204, 304): parts of one are dropped.
    pub fn is_bodiless(&self) -> bool {
        self.phase == Phase::Sending && matches!(self.plan.framing, BodyFraming::None)
    }

    /// The request method was HEAD.
    pub fn is_head(&self) -> bool {
        self.head_request
    }

    pub fn fd(&self) -> RawFd {
        self.fd
    }

    pub fn token(&self) -> Token {
        self.token
    }

    /// The body consists of server-sent events (text/event-stream).
    pub fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// Bytes of the body so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// The app's Content-Length.
    pub fn declared(&self) -> Option<u64> {
        self.declared
    }

    /// Status line and the app's fields, if the access log needs them.
    pub fn head_lines(&self) -> &[u8] {
        &self.lines
    }

    /// Takes the status line, e.g. `200 OK`; forgets an earlier one.
    pub fn start(&mut self, status: &[u8]) -> Result<(), HeadError> {
        self.phase = Phase::Fresh;
        let (digits, reason) = status.split_at_checked(3).ok_or(HeadError::Status)?;
        let code = digits.iter().try_fold(0u16, |code, &byte| {
            byte.is_ascii_digit()
                .then(|| code * 10 + u16::from(byte - b'0'))
                .ok_or(HeadError::Status)
        })?;
        let reason_ok = reason.is_empty() || reason[0] == b' ' && is_field_value(&reason[1..]);
        if code < 200 || !reason_ok {
            return Err(HeadError::Status);
        }
        self.status = code;
        self.declared = None;
        self.has_date = false;
        self.is_event_stream = false;
        self.has_server = false;
        self.head.clear();
        self.head.extend_from_slice(b"HTTP/1.1 ");
        self.head.extend_from_slice(status);
        if reason.is_empty() {
            self.head.push(b' ');
        }
        self.head.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Takes a status by its number, with the registered phrase.
    pub fn start_code(&mut self, code: u16) -> Result<(), HeadError> {
        if !(200..=999).contains(&code) {
            return Err(HeadError::Status);
        }
        let mut line = [0u8; 48];
        let phrase = reason_phrase(code).as_bytes();
        line[..3].copy_from_slice(itoa::Buffer::new().format(code).as_bytes());
        line[3] = b' ';
        line[4..4 + phrase.len()].copy_from_slice(phrase);
        self.start(&line[..4 + phrase.len()])
    }

    /// Sends an interim answer, e.g. 103, while no other has begun; HTTP/1.0 knows none (RFC 9110 §15.2).
    pub fn inform(&mut self, core: &Core, code: u16, fields: &[(&[u8], &[u8])]) -> Result<Room, HeadError> {
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(b"HTTP/1.1 ");
        head.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
        head.push(b' ');
        head.extend_from_slice(reason_phrase(code).as_bytes());
        head.extend_from_slice(b"\r\n");
        for (name, value) in fields {
            put_field(&mut head, name, value)?;
        }
        head.extend_from_slice(b"\r\n");
        if self.version == Version::Http10 || self.is_sending() {
            return Ok(Room::Direct);
        }
        Ok(self.write_apart(core, &head, b"", b"", &mut None))
    }

    /// Takes one trailer field, sent behind a chunked body. `Ok(false)`: it may not stand there (RFC 9110 §6.5.1).
    pub fn trailer(&mut self, name: &[u8], value: &[u8]) -> Result<bool, HeadError> {
        if is_forbidden_trailer(name) {
            return Ok(false);
        }
        put_field(&mut self.trailers, name, value)?;
        Ok(true)
    }

    /// Takes one field. `Ok(false)`: a hop-by-hop field, which is the server's to send and was left out.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<bool, HeadError> {
        if !is_token(name) {
            return Err(HeadError::Name);
        }
        if !is_field_value(value) {
            return Err(HeadError::Value);
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.has_date = true,
            6 if name.eq_ignore_ascii_case(b"server") => self.has_server = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(value.trim_ascii()).ok_or(HeadError::Length)?;
                if self.declared.is_some_and(|earlier| earlier != length) {
                    return Err(HeadError::Length);
                }
                self.declared = Some(length);
                return Ok(true); // written once, with the framing
            }
            12 if name.eq_ignore_ascii_case(b"content-type") => {
                self.is_event_stream = is_event_stream(value);
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.keep_alive &= !value.trim_ascii().eq_ignore_ascii_case(b"close");
                return Ok(false);
            }
            _ if is_hop_by_hop(name) => return Ok(false),
            _ => {}
        }
        self.head.extend_from_slice(name);
        self.head.extend_from_slice(b": ");
        self.head.extend_from_slice(value);
        self.head.extend_from_slice(b"\r\n");
        Ok(true)
    }

    /// Sends the head before any part of the body is there.
    pub fn send_head(&mut self, core: &Core) -> Room {
        if self.phase == Phase::Started {
            self.complete_head(core, None);
            return self.write_head_buffer(core);
        }
        Room::Direct
    }

    /// All fields are there.
    pub fn started(&mut self, core: &Core) {
        if core.access.as_ref().is_some_and(|(log, _)| log.wants_response_fields()) {
            self.lines.clone_from(&self.head);
        }
        self.phase = Phase::Started;
    }

    /// Decides the framing and completes the head. `known`: the whole body's length, where that is known up front.
    fn complete_head(&mut self, core: &Core, known: Option<u64>) {
        let mut keep_alive = self.keep_alive && core.settings.keepalive > 0 && !core.is_draining();
        if self.awaited {
            keep_alive &= core.head_goes_out(self.token);
        }
        self.plan = plan(
            self.version,
            self.head_request,
            self.status,
            self.declared,
            known,
            keep_alive,
        );
        self.phase = Phase::Sending;
        if core.settings.watches() && !self.on_loop {
            self.gone |= !core.claims[self.thread].for_app();
        }
        let head = &mut self.head;
        if !self.has_date {
            self.stamp.refresh();
            head.extend_from_slice(b"Date: ");
            head.extend_from_slice(&self.stamp.date);
            head.extend_from_slice(b"\r\n");
        }
        if !self.has_server && !core.settings.server_header.is_empty() {
            head.extend_from_slice(b"Server: ");
            head.extend_from_slice(&core.settings.server_header);
            head.extend_from_slice(b"\r\n");
        }
        match self.plan.framing {
            BodyFraming::Length(length) => {
                head.extend_from_slice(b"Content-Length: ");
                head.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
                head.extend_from_slice(b"\r\n");
            }
            BodyFraming::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            BodyFraming::None | BodyFraming::UntilClose => {}
        }
        match (self.plan.keep_alive, self.version) {
            (false, _) => head.extend_from_slice(b"Connection: close\r\n"),
            (true, Version::Http10) => head.extend_from_slice(b"Connection: keep-alive\r\n"),
            (true, Version::Http11) => {}
        }
        head.extend_from_slice(b"\r\n");
        if !has_body(self.head_request, self.status) {
            self.plan.framing = BodyFraming::None; // announced, but no byte of it may follow
        }
    }

    /// Sends the whole body at once, with its length if the app gave none. `owner`: see [`Owner`].
    pub fn send_whole(&mut self, core: &Core, body: &[u8], owner: &mut Owner) -> Room {
        self.complete_head(core, Some(body.len() as u64));
        self.write_body(core, body, owner)
    }

    /// As `send_whole` for a short body, into `bytes`, which the caller sends. False: it is too long, or others wait before it.
    pub fn write_whole(&mut self, core: &Core, body: &[u8], bytes: &mut Vec<u8>) -> bool {
        if body.len() > JOIN || self.held {
            return false;
        }
        self.complete_head(core, Some(body.len() as u64));
        let body = self.cut(body);
        self.sent += body.len() as u64;
        self.head.extend_from_slice(body);
        std::mem::swap(&mut self.head, bytes);
        self.head.clear();
        true
    }

    /// Sends one part of a body; an empty part sends nothing, not even the head.
    pub fn send_part(&mut self, core: &Core, part: &[u8], owner: &mut Owner) -> Room {
        if part.is_empty() {
            return Room::Direct;
        }
        if self.phase == Phase::Started {
            self.complete_head(core, None);
        } else {
            self.head.clear();
        }
        self.write_body(core, part, owner)
    }

    /// As `send_part`, where more follows. A large part that comes right behind another one waits for the next: the caller
    /// calls `push` when nothing may follow for a while. True: that is due, and was not before.
    pub fn send_part_of_many(&mut self, core: &Core, part: &[u8], owner: &mut Owner, now: u64) -> (Room, bool) {
        let is_quick = now.saturating_sub(self.gathering) < GAP;
        self.gathering = now;
        if !is_quick || part.len() <= JOIN || self.held || self.gone || self.phase != Phase::Sending {
            return (self.send_part(core, part, owner), false);
        }
        let Some(owner) = owner.take() else {
            return (self.send_part(core, part, &mut None), false);
        };
        let is_first = self.gathered.is_empty();
        let length = self.cut(part).len();
        self.sent += length as u64;
        let is_chunked = matches!(self.plan.framing, BodyFraming::Chunked);
        if is_chunked {
            self.head.clear();
            chunk_header(length, &mut self.head);
            self.gathered.push(Piece::Bytes(self.head.clone()));
        }
        if length > 0 {
            self.gathered.push_shared(owner, 0, length);
        }
        if is_chunked {
            self.gathered.push(Piece::Bytes(b"\r\n".to_vec()));
        }
        if self.gathered.held() >= GATHERED {
            return (self.push(core), false);
        }
        (Room::Direct, is_first)
    }

    /// Sends what has been gathered.
    pub fn push(&mut self, core: &Core) -> Room {
        if self.gathered.is_empty() || self.gone {
            return if self.gone { Room::Gone } else { Room::Direct };
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut spent = Vec::new();
        if self.may_send(core) {
            match gathered.flush_together(self.fd, &mut spent) {
                Flushed::All => return Room::Direct,
                Flushed::Blocked | Flushed::Away | Flushed::Cold => {}
                Flushed::Broken => {
                    self.gone = true;
                    return Room::Gone;
                }
            }
        }
        self.hold(core, After::More, |output| output.append(gathered))
    }

    /// As `send_part`, for the last one: what ends the body leaves with it.
    pub fn send_last(&mut self, core: &Core, part: &[u8], owner: &mut Owner) -> Room {
        self.is_last = self.phase == Phase::Sending && self.trailers.is_empty();
        let room = self.send_part(core, part, owner);
        if part.is_empty() {
            self.is_last = false;
        }
        room
    }

    fn write_body(&mut self, core: &Core, body: &[u8], owner: &mut Owner) -> Room {
        let body = self.cut(body);
        let mut tail: &[u8] = b"";
        if matches!(self.plan.framing, BodyFraming::Chunked) && !body.is_empty() {
            chunk_header(body.len(), &mut self.head);
            tail = if self.is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        }
        self.sent += body.len() as u64;
        if body.len() > JOIN {
            let head = std::mem::take(&mut self.head);
            let room = self.write_apart(core, &head, body, tail, owner);
            self.head = head;
            return room;
        }
        self.head.extend_from_slice(body);
        self.head.extend_from_slice(tail);
        self.write_head_buffer(core)
    }

    /// The part of `body` that may be sent: none where the response has none, no more than was declared.
    fn cut<'a>(&mut self, body: &'a [u8]) -> &'a [u8] {
        match self.plan.framing {
            BodyFraming::None => b"",
            BodyFraming::Length(length) => {
                let room = usize::try_from(length - self.sent).unwrap_or(usize::MAX);
                self.excess |= body.len() > room;
                &body[..body.len().min(room)]
            }
            BodyFraming::Chunked | BodyFraming::UntilClose => body,
        }
    }

    fn write_head_buffer(&mut self, core: &Core) -> Room {
        if self.head.is_empty() || self.gone {
            return if self.gone { Room::Gone } else { Room::Direct };
        }
        let mut at = 0;
        if self.may_send(core) {
            match self.count(sys::send(self.fd, &self.head)) {
                Some(count) if count == self.head.len() => return Room::Direct,
                Some(count) => at = count,
                None => return Room::Gone,
            }
        }
        let rest = Piece::Bytes(self.head[at..].to_vec());
        self.hold(core, self.after(), |output| output.push(rest))
    }

    fn write_apart(&mut self, core: &Core, head: &[u8], body: &[u8], tail: &'static [u8], owner: &mut Owner) -> Room {
        if self.gone {
            return Room::Gone;
        }
        let mut at = 0;
        if self.may_send(core) {
            let turn = turn_of(body);
            let end = if turn.len() == body.len() { tail } else { b"" };
            match self.count(sys::send_parts(self.fd, &[head, turn, end].map(IoSlice::new))) {
                Some(count) if count == head.len() + body.len() + tail.len() => return Room::Direct,
                Some(count) => at = count,
                None => return Room::Gone,
            }
        }
        let from = at.saturating_sub(head.len()).min(body.len());
        let cut_tail = at.saturating_sub(head.len() + body.len());
        let owner = if from < body.len() { owner.take() } else { None };
        self.hold(core, self.after(), |output| {
            if at < head.len() {
                output.push(Piece::Bytes(head[at..].to_vec()));
            }
            match owner {
                Some(owner) => output.push_shared(owner, from, body.len()),
                None if from < body.len() => output.push(Piece::Bytes(body[from..].to_vec())),
                None => {}
            }
            if cut_tail < tail.len() {
                output.push(Piece::Bytes(tail[cut_tail..].to_vec()));
            }
        })
    }

    /// Bytes may go straight to the socket unless others wait before them.
    fn may_send(&mut self, core: &Core) -> bool {
        let _ = self.push(core); // at most `GATHERED` bytes; what follows them asks for room
        if self.held {
            self.held = core.is_held(self.token) != Room::Direct;
        }
        !self.held
    }

    /// What the socket took; 0 when it is full. None: the client is gone.
    fn count(&mut self, result: std::io::Result<usize>) -> Option<usize> {
        match result {
            Ok(count) => Some(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Some(0),
            Err(_) => {
                self.gone = true;
                None
            }
        }
    }

    /// Whether the body goes on behind what was given so far.
    fn after(&self) -> After {
        match self.is_complete() || self.is_last {
            true => After::Nothing,
            false => After::More,
        }
    }

    fn hold(&mut self, core: &Core, after: After, fill: impl FnOnce(&mut Output)) -> Room {
        self.held = true;
        let room = core.hold(self.token, after, fill);
        self.gone |= room == Room::Gone;
        room
    }

    /// Sends `length` bytes of a file from `offset`: the whole body, or the next part of it where `more` follows. `keep`:
    /// makes a descriptor that outlives the call. Nothing of the file comes into memory.
    pub fn send_file(
        &mut self,
        core: &Core,
        part: FilePart,
        more: bool,
        keep: impl FnOnce() -> Option<OwnedFd>,
    ) -> Room {
        let FilePart { fd, offset, length } = part;
        if self.phase == Phase::Started {
            self.complete_head(core, Some(length).filter(|_| !more));
        } else {
            self.head.clear();
        }
        let left = self.cut_length(length);
        self.sent += left;
        if left == 0 || self.gone {
            return self.write_head_buffer(core); // MSG_MORE would keep it for 200 ms (tcp(7)), waiting for what never comes
        }
        let mut tail: &[u8] = b"";
        if matches!(self.plan.framing, BodyFraming::Chunked) {
            chunk_header(left as usize, &mut self.head);
            self.is_last = !more && self.trailers.is_empty();
            tail = if self.is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" };
        }
        let (head, sent) = match self.may_send(core) {
            false => (0, 0),
            true => match self.send_file_now(fd, offset, left) {
                Some(done) => done,
                None => return Room::Gone,
            },
        };
        if self.is_torn {
            return Room::Direct; // `end` tells
        }
        if sent == left {
            self.head.clear();
            self.head.extend_from_slice(tail);
            return self.write_head_buffer(core);
        }
        let Some(file) = keep() else {
            self.tear(left - sent);
            return Room::Direct;
        };
        let head = self.head[head..].to_vec();
        self.hold(core, self.after(), |output| {
            if !head.is_empty() {
                output.push(Piece::Bytes(head));
            }
            output.push(Piece::File {
                file: Arc::new(file.into()),
                offset: offset + sent,
                left: left - sent,
                is_app: true,
            });
            if !tail.is_empty() {
                output.push(Piece::Bytes(tail.to_vec()));
            }
        })
    }

    /// Sends the head buffer and then what the socket takes of the file; how much of both was taken. None: the client is gone.
    fn send_file_now(&mut self, file: RawFd, offset: u64, left: u64) -> Option<(usize, u64)> {
        let sent = match self.head.is_empty() {
            true => Ok(0),
            false => sys::send_before_more(self.fd, &self.head),
        };
        let head = self.count(sent)?;
        let mut done = 0;
        // The event loop has others to serve: the reactor sends the rest, in turns.
        let most = if self.on_loop { left.min(AT_ONCE) } else { left };
        while head == self.head.len() && done < most {
            match sys::send_file(self.fd, file, offset + done, most - done) {
                Ok(0) => {
                    self.tear(left - done); // shorter than it was
                    break;
                }
                Ok(count) => done += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    return None;
                }
            }
        }
        Some((head, done))
    }

    /// So many bytes that were announced will never come: the connection breaks, so that the client can tell.
    fn tear(&mut self, missing: u64) {
        self.sent -= missing;
        self.is_torn = true;
    }

    /// As `cut`, for a length alone.
    fn cut_length(&mut self, length: u64) -> u64 {
        match self.plan.framing {
            BodyFraming::None => 0,
            BodyFraming::Length(declared) => {
                let room = declared - self.sent;
                self.excess |= length > room;
                length.min(room)
            }
            BodyFraming::Chunked | BodyFraming::UntilClose => length,
        }
    }

    /// The body is whole: sends the head if nothing was, or the last chunk.
    pub fn end(&mut self, core: &Core) -> Finished {
        match self.phase {
            Phase::Started => {
                self.complete_head(core, Some(0).filter(|_| self.declared.is_none()));
                let _ = self.write_head_buffer(core); // one head
            }
            Phase::Sending if matches!(self.plan.framing, BodyFraming::Chunked) && !self.is_last && !self.is_torn => {
                self.head.clear();
                self.head.extend_from_slice(b"0\r\n");
                self.head.append(&mut self.trailers);
                self.head.extend_from_slice(b"\r\n");
                let _ = self.write_head_buffer(core); // a few lines, and nothing follows
            }
            _ => {}
        }
        let _ = self.push(core); // at most `GATHERED` bytes, and nothing follows
        let missing = match self.plan.framing {
            BodyFraming::Length(length) => length - self.sent.min(length),
            _ => 0,
        };
        self.finished(missing)
    }

    /// The app failed while its body was on the way: the client must be able to tell.
    pub fn abort(&mut self) -> Finished {
        let missing = match self.plan.framing {
            BodyFraming::Length(length) => length - self.sent.min(length),
            _ => 0,
        };
        let mut done = self.finished(missing);
        done.keep_alive = false;
        done.reset = matches!(self.plan.framing, BodyFraming::UntilClose);
        done
    }

    fn finished(&mut self, missing: u64) -> Finished {
        self.phase = Phase::Ended;
        Finished {
            status: if self.gone { 499 } else { self.status },
            bytes: self.sent,
            keep_alive: self.plan.keep_alive && missing == 0 && !self.gone && !self.is_torn,
            reset: self.is_torn && matches!(self.plan.framing, BodyFraming::UntilClose),
            client_gone: self.gone,
            app_error: false,
            missing,
            excess: self.excess,
        }
    }
}

fn is_event_stream(content_type: &[u8]) -> bool {
    let kind = content_type.split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// Writes one field line whose name and value have been looked at.
fn put_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), HeadError> {
    if !is_token(name) {
        return Err(HeadError::Name);
    }
    if !is_field_value(value) {
        return Err(HeadError::Value);
    }
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}
