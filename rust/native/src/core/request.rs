//! One request: its bytes, what they mean, its body, and where the answer goes.

pub use super::gather::Gather;
use super::proxies::Asked;
use crate::sys::Peer;
use hostler_wire::http1::Head;
use std::fs::File;
use std::os::fd::RawFd;

/// First capacity of a request's buffer: a browser's head with cookies fits.
pub const BUFFER: usize = 16 * 1024;
/// A buffer that grew beyond this is not kept for the next request.
const KEEP: usize = 128 * 1024;

/// Names a connection for as long as it lives: a slab index and the generation of that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub index: u32,
    pub generation: u32,
}

impl Token {
    pub fn key(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub fn from_key(key: u64) -> Self {
        Self {
            index: key as u32,
            generation: (key >> 32) as u32,
        }
    }
}

/// A whole request body.
#[derive(Debug, Default)]
pub enum Body {
    #[default]
    Empty,
    /// Behind the head, in the request's own buffer.
    Inline { start: usize, end: usize },
    /// Decoded from chunks, or read late.
    Memory(Vec<u8>),
    /// Too long for memory.
    File(File, u64),
    /// The client waits for "100 Continue": the body is read when the app first asks for it.
    Awaited,
    /// Read while it comes, on the event loop.
    Streamed,
}

impl Body {
    /// Bytes that it holds beside the request's own buffer.
    pub fn in_memory(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Its length in bytes, where known.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty | Self::Awaited | Self::Streamed => 0,
            Self::Inline { start, end } => (end - start) as u64,
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(_, length) => *length,
        }
    }
}

/// One request, assembled by the poller, then owned by the thread that runs it.
pub struct Request {
    pub token: Token,
    /// The connection's socket. Valid while the request is in flight: the reactor closes none under a running request.
    pub fd: RawFd,
    /// The head's bytes, then those of an inline body.
    pub buffer: Vec<u8>,
    pub head: Head,
    pub body: Body,
    /// Who asked: the client that trusted proxies name, or else the other end of the connection.
    pub peer: Peer,
    /// What trusted proxies say of the rest.
    pub asked: Asked,
    /// Which listener took the connection.
    pub listener: usize,
    /// Which app it is for: an index into the mounts.
    pub mount: usize,
    /// That app runs on the event loop.
    pub on_loop: bool,
    /// It asks for a WebSocket, and its app is a WSGI one, which may take the socket for it.
    pub upgrade: bool,
    /// It asks for a WebSocket, and its app takes them.
    pub websocket: bool,
    /// Which thread runs it; on the event loop: its number there.
    pub thread: usize,
    /// When the head was complete (monotonic ns).
    pub queued_ns: u64,
    /// When a thread took it.
    pub started_ns: u64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            token: Token {
                index: 0,
                generation: 0,
            },
            fd: -1,
            buffer: Vec::new(),
            head: Head::new(),
            body: Body::Empty,
            peer: Peer::Unix,
            asked: Asked::default(),
            listener: 0,
            mount: 0,
            upgrade: false,
            on_loop: false,
            websocket: false,
            thread: 0,
            queued_ns: 0,
            started_ns: 0,
        }
    }
}

impl Request {
    /// Makes it ready for another request's bytes; keeps the memory unless it has grown large.
    pub fn clear(&mut self) {
        self.body = Body::Empty;
        self.head.clear(); // its places mean nothing in other bytes
        if self.buffer.capacity() > KEEP {
            self.buffer = Vec::new();
        }
        self.buffer.clear();
    }

    pub fn method(&self) -> &[u8] {
        self.head.method.of(&self.buffer)
    }

    /// The request target as it was sent.
    pub fn target(&self) -> &[u8] {
        self.head.target.of(&self.buffer)
    }

    /// The value of the first field called `name` (lower case).
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        let field = self
            .head
            .fields
            .iter()
            .find(|field| field.name.of(&self.buffer).eq_ignore_ascii_case(name))?;
        Some(field.value.of(&self.buffer))
    }
}
