//! One client connection, as the reactor sees it.

use super::late::Late;
use super::output::Output;
use super::pace::{Pace, Rules};
use super::request::{Gather, Request, Token};
use super::stream::Stream;
use super::timers::Deadline;
use super::websocket::Socket;
use crate::log::Pending;
use crate::sys::{self, Peer};
use hostler_wire::http1::BodyDecoder;
use std::os::fd::OwnedFd;

/// Where a connection stands. The reactor reads in the first three; an app thread owns the answer in `InFlight`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No byte of a request yet.
    Idle,
    /// Part of a head.
    Head,
    /// A head, part of its body.
    Body,
    /// Queued or running.
    InFlight,
    /// Answered; the client still takes bytes.
    Flushing,
    /// A WebSocket; the reactor reads and writes.
    Socket,
    /// Answered and shut; what the client still sends is read and forgotten, so that it reads our answer.
    Lingering,
}

/// A body that is being read before its request is queued.
pub struct Upload {
    pub decoder: BodyDecoder,
    /// Counted bodies that fit in memory are read straight behind the head: the end of the body in the request's buffer.
    pub inline_end: Option<usize>,
    pub gather: Gather,
    pub pace: Pace,
}

impl Upload {
    /// When the wait for it ends (monotonic ns); none: never.
    pub(super) fn due(&self, rules: &Rules) -> Option<u64> {
        self.gather.back_by().or_else(|| self.pace.due(rules))
    }
}

/// One connection. Everything a client does not need right now is absent: an idle one is this struct and its socket.
pub struct Conn {
    pub socket: sys::Private,
    /// The end that it speaks for: the source that the PROXY protocol has named, or else the other end. Nothing else is
    /// kept of the two, so that nothing can be decided by the wrong one.
    pub peer: Peer,
    pub generation: u32,
    pub listener: u8,
    pub phase: Phase,
    /// The client may send another request after this one.
    pub keep_alive: bool,
    /// The connection broke while its request ran.
    pub gone: bool,
    /// What epoll watches for; `None`: not registered.
    pub interest: Option<u32>,
    pub deadline: Deadline,
    pub served: u32,
    /// How often it was handed over since its last answer.
    pub hops: u8,
    /// A PROXY protocol header has come, or none is awaited.
    pub introduced: bool,
    /// When the first byte of the request came (monotonic ns).
    pub since: u64,
    /// When the request was read whole that came with it from a sibling (monotonic ns; 0: none did).
    pub waits_since: u64,
    /// The request in flight is answered on the event loop.
    pub on_loop: bool,
    /// It asks for a WebSocket: until when the app must have answered (monotonic ns); none: for ever, or it asks for none.
    pub handshake_due: Option<u64>,
    /// The loop has been told that something happened here.
    pub told: bool,
    /// `request_timeout` has passed for a request on the loop.
    pub timed_out: bool,
    /// The client has closed its side.
    pub half_closed: bool,
    /// It ends with a reset: its client must be able to tell that the response was cut.
    pub resets: bool,
    /// The app has the socket and does with it what it likes.
    pub is_detached: bool,
    /// The request under assembly.
    pub incoming: Option<Box<Request>>,
    pub upload: Option<Box<Upload>>,
    pub late: Option<Box<Late>>,
    /// A body that the event loop reads while it comes.
    pub stream: Option<Box<Stream>>,
    pub socket_state: Option<Box<Socket>>,
    /// Bytes that came behind the current request.
    pub leftover: Vec<u8>,
    pub output: Option<Box<Output>>,
    /// The access log's line of an answer that is still being sent.
    pub line: Option<Box<Pending>>,
}

impl Conn {
    /// The connection's name; `index`: its place in the slab.
    pub fn token(&self, index: usize) -> Token {
        Token {
            index: index as u32,
            generation: self.generation,
        }
    }

    pub fn new(socket: OwnedFd, peer: Peer, listener: u8, generation: u32) -> Self {
        Self {
            socket: socket.into(),
            peer,
            generation,
            listener,
            phase: Phase::Idle,
            keep_alive: true,
            gone: false,
            interest: None,
            deadline: Deadline::default(),
            served: 0,
            hops: 0,
            introduced: false,
            since: 0,
            waits_since: 0,
            on_loop: false,
            handshake_due: None,
            told: false,
            timed_out: false,
            half_closed: false,
            resets: false,
            is_detached: false,
            incoming: None,
            upload: None,
            late: None,
            stream: None,
            socket_state: None,
            leftover: Vec::new(),
            output: None,
            line: None,
        }
    }
}
