//! Bytes of a response that the client has not taken yet.

use crate::sys;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

/// Bytes of one body that go into the kernel at a time. A whole large body for each of many clients would fill memory
/// that no cache holds; what the first has read meanwhile is warm for the next.
const TURN: usize = 256 * 1024;
/// Pieces that are sent by one call.
const PARTS: usize = 32;

/// Bytes owned elsewhere (a Python object). Dropping one may need the interpreter's lock, so spent ones are collected
/// and dropped by a thread that holds it.
pub trait Shared: Send + Sync {
    fn bytes(&self) -> &[u8];
}

/// A part of a response.
pub enum Piece {
    Bytes(Vec<u8>),
    /// An owner, and which part of its bytes.
    Shared(Box<dyn Shared>, usize, usize),
    File {
        file: OwnedFd,
        offset: u64,
        left: u64,
    },
}

impl Piece {
    /// Those in memory.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Shared(shared, start, end) => &shared.bytes()[*start..*end],
            Self::File { .. } => b"",
        }
    }
}

/// What sending came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Flushed {
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The client is gone, or a file is shorter than was promised.
    Broken,
}

/// What waits to be sent, in order. Invariant: `offset` is within the first piece.
#[derive(Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
    offset: usize,
    /// Bytes in memory that the client has not taken, also those of shared pieces: a stream makes new ones as long as
    /// nobody stops it (counts against `response_buffer`).
    pub held: usize,
    /// Bytes sent since the last look by the timer: a client that takes too few is given up.
    pub progress: u64,
}

impl Output {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn push(&mut self, piece: Piece) {
        if let Piece::Bytes(bytes) = &piece {
            self.held += bytes.len();
        }
        self.pieces.push_back(piece);
    }

    /// Adds `owner`'s bytes `start..end`, uncopied.
    pub fn push_shared(&mut self, owner: Box<dyn Shared>, start: usize, end: usize) {
        self.held += end - start;
        self.pieces.push_back(Piece::Shared(owner, start, end));
    }

    /// Sends as much as the socket takes; spent shared pieces go to `spent`.
    pub fn flush(&mut self, fd: RawFd, spent: &mut Vec<Box<dyn Shared>>) -> Flushed {
        while let Some(piece) = self.pieces.front_mut() {
            let result = match piece {
                Piece::Bytes(bytes) => sys::send(fd, turn_of(&bytes[self.offset..])),
                Piece::Shared(shared, start, end) => {
                    sys::send(fd, turn_of(&shared.bytes()[*start + self.offset..*end]))
                }
                Piece::File { file, offset, left } => send_file_part(fd, file, offset, left),
            };
            match result {
                Ok(count) => {
                    self.advance(count, spent);
                    if count == TURN && !self.pieces.is_empty() {
                        return Flushed::Blocked; // the others' turn; epoll says at once that there is room
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flushed::Broken,
            }
        }
        Flushed::All
    }

    /// As `flush`, for pieces in memory, with as few calls as the socket takes.
    pub fn flush_together(&mut self, fd: RawFd, spent: &mut Vec<Box<dyn Shared>>) -> Flushed {
        while !self.pieces.is_empty() {
            let mut parts = [IoSlice::new(b""); PARTS];
            let mut from = self.offset;
            for (part, piece) in parts.iter_mut().zip(&self.pieces) {
                *part = IoSlice::new(&piece.bytes()[from..]);
                from = 0;
            }
            let count = self.pieces.len().min(PARTS);
            match sys::send_parts(fd, &parts[..count]) {
                Ok(sent) => self.advance_over(sent, spent),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flushed::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Flushed::Broken,
            }
        }
        Flushed::All
    }

    /// Takes off bytes that may be those of several pieces in memory.
    fn advance_over(&mut self, mut count: usize, spent: &mut Vec<Box<dyn Shared>>) {
        while let Some(piece) = self.pieces.front() {
            let step = count.min(piece.bytes().len() - self.offset);
            let before = self.pieces.len();
            self.advance(step, spent);
            count -= step;
            if self.pieces.len() == before {
                return;
            }
        }
    }

    /// Puts all that another one holds behind its own; the first piece of `other` may be partly sent.
    pub fn append(&mut self, mut other: Self) {
        if let (Some(piece), offset @ 1..) = (other.pieces.front_mut(), other.offset) {
            match piece {
                Piece::Bytes(bytes) => drop(bytes.drain(..offset)),
                Piece::Shared(_, start, _) => *start += offset,
                Piece::File { .. } => {}
            }
        }
        self.held += other.held;
        self.pieces.append(&mut other.pieces);
    }

    fn advance(&mut self, count: usize, spent: &mut Vec<Box<dyn Shared>>) {
        self.progress += count as u64;
        let done = match self.pieces.front() {
            Some(Piece::Bytes(bytes)) => self.offset + count == bytes.len(),
            Some(Piece::Shared(_, start, end)) => self.offset + count == end - start,
            Some(Piece::File { left, .. }) => *left == 0,
            None => false,
        };
        if !matches!(self.pieces.front(), Some(Piece::File { .. })) {
            self.held -= count;
            self.offset += count;
        }
        if !done {
            return;
        }
        self.offset = 0;
        if let Some(Piece::Shared(shared, ..)) = self.pieces.pop_front() {
            spent.push(shared);
        }
    }

    /// Gives up: everything that is left is spent.
    pub fn discard(&mut self, spent: &mut Vec<Box<dyn Shared>>) {
        for piece in self.pieces.drain(..) {
            if let Piece::Shared(shared, ..) = piece {
                spent.push(shared);
            }
        }
        self.held = 0;
        self.offset = 0;
    }
}

/// The part of a large body that is sent before other connections have their turn.
pub fn turn_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(TURN)]
}

/// A file that ends before the promised length breaks the response: the client must be able to tell.
fn send_file_part(fd: RawFd, file: &OwnedFd, offset: &mut u64, left: &mut u64) -> io::Result<usize> {
    let count = sys::send_file(fd, file.as_raw_fd(), *offset, *left)?;
    if count == 0 && *left > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *offset += count as u64;
    *left -= count as u64;
    Ok(count)
}
