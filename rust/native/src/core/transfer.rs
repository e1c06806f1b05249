//! What goes along when a connection moves to another worker: facts, never bytes that would have to be parsed twice.
//!
//! A connection moves at a request boundary, or with one request that was read and has not begun. What was taken off the
//! socket is gone from there, and its framing with it: a decoded chunked body cannot be decoded again. So each packet says
//! what its bytes are, and the receiver takes up where the sender stopped. `Transfer::of` is the only way to make one; a
//! state that it does not know how to describe stays where it is.
//!
//! | the request's body | goes as | the bytes are |
//! |---|---|---|
//! | no request | `Unread` | what was read and not looked at |
//! | none, or whole in memory | `Whole` | head, body without framing, unread bytes |
//! | whole in a file | `InFile` | head, unread bytes; the file is a descriptor of the packet |
//! | nothing of it was read (`Expect: 100-continue`) | `Unread` | head, unread bytes |
//! | partly read, counted | `Unread` | head and body as they came |
//! | partly read, chunked | stays | |
//!
//! Bytes that are too many for a packet go in a memory file.

use super::conn::Conn;
use super::request::{Body, Request};
use crate::sys;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes that one packet may hold beside its envelope; the default buffers of unix sockets hold some of these.
pub(super) const LONGEST: usize = 48 * 1024;
/// Bytes that may go in a memory file.
const FARTHEST: usize = 4 * 1024 * 1024;

/// What the bytes of a packet are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// Bytes to be parsed from the first one; an idle connection has none.
    Unread,
    /// A request that was read whole: so many bytes of its head, then of its body without framing; unread bytes follow.
    Whole { head: u32, body: u32 },
    /// A request whose body of so many bytes lies in a file; unread bytes follow the head.
    InFile { head: u32, body: u64 },
}

/// Why a connection cannot move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stays {
    /// Part of its body was decoded, and what is left cannot be decoded without that part.
    PartlyRead,
    /// So many bytes do not move.
    TooLong,
    /// There is no memory file for its bytes.
    NoFile,
    /// The other worker's inbox is full.
    NoRoom,
}

impl Stays {
    /// Whether the same may go well a moment later.
    pub(super) fn is_for_now(self) -> bool {
        matches!(self, Self::NoFile | Self::NoRoom)
    }
}

/// One packet, without its envelope.
pub(super) struct Transfer<'a> {
    pub carried: Carried,
    pub parts: [&'a [u8]; 3],
    /// The request's body.
    body: Option<BorrowedFd<'a>>,
    /// The bytes of `parts`, which are empty then.
    outside: Option<File>,
}

impl<'a> Transfer<'a> {
    /// Describes the connection, which is idle or whose `request` has not begun. Nothing is changed.
    pub(super) fn of(conn: &'a Conn, request: Option<&'a Request>) -> Result<Self, Stays> {
        let unread = &conn.leftover[..];
        let Some(request) = request else {
            return Self::new(Carried::Unread, [unread, b"", b""]);
        };
        let length = request.head.len;
        let head = &request.buffer[..length.min(request.buffer.len())];
        match &request.body {
            Body::Empty => Self::whole(head, b"", unread),
            Body::Inline { start, end } => Self::whole(head, &request.buffer[*start..*end], unread),
            Body::Memory(bytes) => Self::whole(head, bytes, unread),
            Body::File(file, body) => {
                let (head_length, body) = (length as u32, *body);
                let mut transfer = Self::new(
                    Carried::InFile {
                        head: head_length,
                        body,
                    },
                    [head, unread, b""],
                )?;
                transfer.body = Some(file.as_fd());
                Ok(transfer)
            }
            Body::Awaited if conn.late.as_deref().is_some_and(|late| late.is_untouched()) => {
                Self::new(Carried::Unread, [head, unread, b""])
            }
            Body::Streamed => match conn.stream.as_deref() {
                Some(stream) => match (stream.whole(), stream.as_it_came()) {
                    (Some(body), _) => Self::whole(head, body, unread),
                    (None, Some(came)) => Self::new(Carried::Unread, [head, came, unread]),
                    (None, None) => Err(Stays::PartlyRead),
                },
                None => Err(Stays::PartlyRead),
            },
            Body::Awaited => Err(Stays::PartlyRead),
        }
    }

    /// The descriptors that go along with the socket.
    pub(super) fn files(&self) -> [Option<BorrowedFd<'_>>; 2] {
        [self.body, self.outside.as_ref().map(AsFd::as_fd)]
    }

    /// The bytes are not in the packet but in a file.
    pub(super) fn is_outside(&self) -> bool {
        self.outside.is_some()
    }

    fn new(carried: Carried, parts: [&'a [u8]; 3]) -> Result<Self, Stays> {
        let mut transfer = Self {
            carried,
            parts,
            body: None,
            outside: None,
        };
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length > FARTHEST {
            return Err(Stays::TooLong);
        }
        if length > LONGEST {
            transfer.outside = Some(in_memory(parts).map_err(|_| Stays::NoFile)?);
            transfer.parts = [b"", b"", b""];
        }
        Ok(transfer)
    }

    fn whole(head: &'a [u8], body: &'a [u8], unread: &'a [u8]) -> Result<Self, Stays> {
        let carried = Carried::Whole {
            head: head.len() as u32,
            body: u32::try_from(body.len()).map_err(|_| Stays::TooLong)?,
        };
        Self::new(carried, [head, body, unread])
    }
}

/// A memory file with these bytes.
fn in_memory(parts: [&[u8]; 3]) -> io::Result<File> {
    let file = sys::memory_file()?;
    let mut at = 0;
    for part in parts {
        sys::write_all_at(&file, part, at)?;
        at += part.len() as u64;
    }
    Ok(file)
}

/// The bytes that came in a memory file.
pub(super) fn read_outside(file: &OwnedFd) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        let count = sys::read_at(file, &mut bytes, FARTHEST, at)?;
        at += count as u64;
        if count == 0 || bytes.len() > FARTHEST {
            return Ok(bytes);
        }
    }
}

/// A request that came with its connection, as far as it was read elsewhere.
pub(super) struct Arrived<'a> {
    /// The bytes of the head, and behind it those of a body in memory.
    pub request: &'a [u8],
    pub body: Body,
    pub unread: &'a [u8],
}

impl Carried {
    /// Takes a packet apart. None: it does not hold what it says, or a descriptor is missing.
    pub(super) fn open(self, bytes: &[u8], file: Option<OwnedFd>) -> Option<Arrived<'_>> {
        match self {
            Self::Unread => Some(Arrived {
                request: b"",
                body: Body::Empty,
                unread: bytes,
            }),
            Self::Whole { head, body } => {
                let (start, end) = (head as usize, head as usize + body as usize);
                let (request, unread) = bytes.split_at_checked(end)?;
                let body = match body {
                    0 => Body::Empty,
                    _ => Body::Inline { start, end },
                };
                Some(Arrived { request, body, unread })
            }
            Self::InFile { head, body } => {
                let (request, unread) = bytes.split_at_checked(head as usize)?;
                let body = Body::File(File::from(file?), body);
                Some(Arrived { request, body, unread })
            }
        }
    }

    const KINDS: usize = 13;

    /// As bytes, for the envelope: what it is, and two lengths.
    pub(super) fn pack(self) -> [u8; Self::KINDS] {
        let (kind, head, body) = match self {
            Self::Unread => (0, 0, 0),
            Self::Whole { head, body } => (1, head, u64::from(body)),
            Self::InFile { head, body } => (2, head, body),
        };
        let mut packed = [0; Self::KINDS];
        packed[0] = kind;
        packed[1..5].copy_from_slice(&head.to_ne_bytes());
        packed[5..].copy_from_slice(&body.to_ne_bytes());
        packed
    }

    pub(super) fn read(packed: [u8; Self::KINDS]) -> Option<Self> {
        let head = u32::from_ne_bytes(*packed[1..].first_chunk()?);
        let body = u64::from_ne_bytes(*packed[5..].first_chunk()?);
        match packed[0] {
            0 => Some(Self::Unread),
            1 => Some(Self::Whole {
                head,
                body: u32::try_from(body).ok()?,
            }),
            2 => Some(Self::InFile { head, body }),
            _ => None,
        }
    }
}

/// Bytes of a packed [`Carried`].
pub(super) const CARRIED: usize = Carried::KINDS;
