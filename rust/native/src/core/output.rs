//! Bytes of a response that the client has not taken yet.
//!
//! In memory, in a file of the app, or in a temporary file to which the porter has written what memory has no room for. What
//! is with the porter leaves a mark in its place, behind which nothing is sent until it is back.

use crate::score::Slot;
use crate::sys;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::Arc;

/// Bytes of one body that go into the kernel at a time. A whole large body for each of many clients would fill memory
/// that no cache holds; what the first has read meanwhile is warm for the next.
const TURN: usize = 256 * 1024;
/// Pieces that are sent by one call.
const PARTS: usize = 32;

/// Bytes owned elsewhere (a Python object). Dropping one may need the GIL, so spent ones are collected and dropped by a
/// thread that holds it.
pub trait Shared: Send + Sync {
    fn bytes(&self) -> &[u8];
}

/// A part of a response.
pub enum Piece {
    Bytes(Vec<u8>),
    /// An owner, and which part of its bytes.
    Shared(Box<dyn Shared>, usize, usize),
    File {
        file: Arc<File>,
        offset: u64,
        left: u64,
        /// The app's own, which counts as more than its memory: its descriptor is open.
        is_app: bool,
    },
    /// So many bytes are with the porter.
    Away(usize),
}

impl Piece {
    /// Those in memory.
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Shared(shared, start, end) => &shared.bytes()[*start..*end],
            Self::File { .. } | Self::Away(_) => b"",
        }
    }

    fn is_memory(&self) -> bool {
        matches!(self, Self::Bytes(_) | Self::Shared(..))
    }
}

/// What sending came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Flushed {
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The next bytes are with the porter.
    Away,
    /// The next bytes of a file are not in memory: reading them would wait for the disk.
    Cold,
    /// The client is gone, or a file is shorter than was promised.
    Broken,
}

/// Bytes that all responses of one worker hold.
#[derive(Default)]
pub struct Ledger {
    memory: AtomicUsize,
    /// Whose metrics say how many are in temporary files.
    slot: Option<&'static Slot>,
}

impl Ledger {
    /// That of the worker with this slot.
    pub fn of(slot: &'static Slot) -> Self {
        Self {
            slot: Some(slot),
            ..Self::default()
        }
    }

    /// Those in memory.
    pub fn total(&self) -> usize {
        self.memory.load(Relaxed)
    }
}

/// Memory pieces on their way into a temporary file.
pub(super) struct Bundle {
    pieces: Vec<Piece>,
    file: Option<Arc<File>>,
    offset: u64,
    length: usize,
}

impl Bundle {
    /// Writes them. May wait for the disk.
    pub(super) fn write(&mut self, directory: &str) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::new(sys::temporary_file(directory)?),
        };
        let mut at = self.offset;
        for piece in &self.pieces {
            sys::write_all_at(&file, piece.bytes(), at)?;
            at += piece.bytes().len() as u64;
        }
        self.file = Some(file);
        Ok(())
    }

    /// The owners of its bytes.
    pub(super) fn spend(self, spent: &mut Vec<Box<dyn Shared>>) {
        for piece in self.pieces {
            if let Piece::Shared(shared, ..) = piece {
                spent.push(shared);
            }
        }
    }
}

/// What waits to be sent, in order. Invariant: `offset` is within the first piece; at most one piece is `Away`.
#[derive(Default)]
pub struct Output {
    pieces: VecDeque<Piece>,
    offset: usize,
    /// Bytes in memory that the client has not taken, also those of shared pieces and those on their way into a file.
    held: usize,
    /// Bytes in the temporary file that the client has not taken.
    filed: u64,
    /// Where `held` and `filed` are counted too.
    ledger: Option<Arc<Ledger>>,
    /// The temporary file, once there is one, and how much was written to it.
    spill: Option<Arc<File>>,
    spilled: u64,
    /// The disk has refused: what is held stays in memory.
    cannot_spill: bool,
    /// Files of the app that wait.
    files: usize,
    /// Bytes sent since the last look by the timer: a client that takes too few is given up.
    pub progress: u64,
    /// When that look comes (monotonic ns).
    pub due: u64,
    /// Nothing is sent before the porter is back from the disk.
    pub waits_for_disk: bool,
}

impl Drop for Output {
    fn drop(&mut self) {
        self.release(self.held);
        self.leave_file(self.filed);
    }
}

impl Output {
    /// An empty one whose bytes are counted.
    pub fn counted(ledger: &Arc<Ledger>) -> Self {
        let mut output = Self::default();
        output.ledger = Some(Arc::clone(ledger));
        output
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes in memory.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes that were ever written to the temporary file.
    pub fn spilled(&self) -> u64 {
        self.spilled
    }

    pub fn cannot_spill(&self) -> bool {
        self.cannot_spill
    }

    /// What is held stays in memory.
    pub fn refuse_spill(&mut self) {
        self.cannot_spill = true;
    }

    /// A file of the app waits to be sent.
    pub fn has_file(&self) -> bool {
        self.files > 0
    }

    fn take_up(&mut self, count: usize) {
        self.held += count;
        if let Some(ledger) = &self.ledger {
            ledger.memory.fetch_add(count, Relaxed);
        }
    }

    fn release(&mut self, count: usize) {
        self.held -= count;
        if let Some(ledger) = &self.ledger {
            ledger.memory.fetch_sub(count, Relaxed);
        }
    }

    /// So many bytes were written to the temporary file.
    fn enter_file(&mut self, count: u64) {
        self.filed += count;
        if let Some(slot) = self.slot() {
            slot.filed.fetch_add(count, Relaxed);
        }
    }

    /// So many of them are not needed any more.
    fn leave_file(&mut self, count: u64) {
        self.filed -= count;
        if let Some(slot) = self.slot() {
            slot.filed.fetch_sub(count, Relaxed);
        }
    }

    fn slot(&self) -> Option<&'static Slot> {
        self.ledger.as_ref()?.slot
    }

    pub fn push(&mut self, piece: Piece) {
        match &piece {
            Piece::Bytes(_) | Piece::Shared(..) => self.take_up(piece.bytes().len()),
            Piece::File { is_app, .. } => self.files += usize::from(*is_app),
            Piece::Away(_) => {}
        }
        self.pieces.push_back(piece);
    }

    /// Adds `owner`'s bytes `start..end`, uncopied.
    pub fn push_shared(&mut self, owner: Box<dyn Shared>, start: usize, end: usize) {
        self.push(Piece::Shared(owner, start, end));
    }

    /// Sends as much as the socket takes; spent shared pieces go to `spent`.
    pub fn flush(&mut self, fd: RawFd, spent: &mut Vec<Box<dyn Shared>>) -> Flushed {
        while let Some(piece) = self.pieces.front_mut() {
            let result = match piece {
                Piece::Bytes(bytes) => sys::send(fd, turn_of(&bytes[self.offset..])),
                Piece::Shared(shared, start, end) => {
                    sys::send(fd, turn_of(&shared.bytes()[*start + self.offset..*end]))
                }
                Piece::File { file, offset, left, .. } => {
                    if !sys::is_in_memory(file.as_raw_fd(), *offset, (*left).min(TURN as u64)) {
                        return Flushed::Cold;
                    }
                    send_file_part(fd, file, offset, left)
                }
                Piece::Away(_) => return Flushed::Away,
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

    /// Puts all that another one holds behind its own.
    pub fn append(&mut self, mut other: Self) {
        other.trim_first();
        self.take_up(other.held);
        self.files += other.files;
        self.pieces.append(&mut other.pieces);
        other.release(other.held);
    }

    /// The first piece begins with its first byte that was not sent.
    fn trim_first(&mut self) {
        match self.pieces.front_mut() {
            Some(Piece::Bytes(bytes)) => drop(bytes.drain(..self.offset)),
            Some(Piece::Shared(_, start, _)) => *start += self.offset,
            _ => {}
        }
        self.offset = 0;
    }

    fn advance(&mut self, count: usize, spent: &mut Vec<Box<dyn Shared>>) {
        self.progress += count as u64;
        let Some(piece) = self.pieces.front() else { return };
        let is_memory = piece.is_memory();
        let is_ours = matches!(piece, Piece::File { is_app: false, .. });
        let done = match piece {
            Piece::File { left, .. } => *left == 0,
            piece => self.offset + count == piece.bytes().len(),
        };
        if is_memory {
            self.release(count);
            self.offset += count;
        }
        if is_ours {
            self.leave_file(count as u64);
        }
        if !done {
            return;
        }
        self.offset = 0;
        match self.pieces.pop_front() {
            Some(Piece::Shared(shared, ..)) => spent.push(shared),
            Some(Piece::File { is_app: true, .. }) => self.files -= 1,
            _ => {}
        }
    }

    /// Takes what is in memory at the end, to be written to the temporary file; none: nothing is, or some is on its way.
    pub(super) fn bundle(&mut self) -> Option<Bundle> {
        let is_away = self.pieces.iter().any(|piece| matches!(piece, Piece::Away(_)));
        let memory = self.pieces.iter().rev().take_while(|piece| piece.is_memory()).count();
        if is_away || memory == 0 || self.cannot_spill {
            return None;
        }
        let first = self.pieces.len() - memory;
        if first == 0 {
            self.trim_first();
        }
        let pieces: Vec<Piece> = self.pieces.drain(first..).collect();
        let length = pieces.iter().map(|piece| piece.bytes().len()).sum();
        self.pieces.push_back(Piece::Away(length));
        Some(Bundle {
            pieces,
            file: self.spill.clone(),
            offset: self.spilled,
            length,
        })
    }

    /// A bundle is back; not `is_written`: it is in memory again. Returns how many bytes the file has more.
    pub(super) fn unbundle(&mut self, bundle: Bundle, is_written: bool, spent: &mut Vec<Box<dyn Shared>>) -> u64 {
        let Some(place) = self.pieces.iter().position(|piece| matches!(piece, Piece::Away(_))) else {
            bundle.spend(spent);
            return 0;
        };
        let Some(file) = bundle.file.clone().filter(|_| is_written) else {
            self.cannot_spill = true;
            let behind = self.pieces.split_off(place + 1);
            self.pieces.pop_back();
            self.pieces.extend(bundle.pieces);
            self.pieces.extend(behind);
            return 0;
        };
        let length = bundle.length;
        self.release(length);
        self.enter_file(length as u64);
        self.pieces[place] = Piece::File {
            file: Arc::clone(&file),
            offset: bundle.offset,
            left: length as u64,
            is_app: false,
        };
        self.spill = Some(file);
        self.spilled += length as u64;
        bundle.spend(spent);
        length as u64
    }

    /// The next bytes of a file, for the porter to bring into memory.
    pub(super) fn next_of_file(&self) -> Option<(Arc<File>, u64, u64)> {
        match self.pieces.front() {
            Some(Piece::File { file, offset, left, .. }) => Some((Arc::clone(file), *offset, (*left).min(TURN as u64))),
            _ => None,
        }
    }

    /// Gives up: everything that is left is spent.
    pub fn discard(&mut self, spent: &mut Vec<Box<dyn Shared>>) {
        for piece in self.pieces.drain(..) {
            if let Piece::Shared(shared, ..) = piece {
                spent.push(shared);
            }
        }
        self.release(self.held);
        self.leave_file(self.filed);
        self.files = 0;
        self.offset = 0;
    }
}

/// The part of a large body that is sent before other connections have their turn.
pub fn turn_of(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.len().min(TURN)]
}

/// A file that ends before the promised length breaks the response: the client must be able to tell.
fn send_file_part(fd: RawFd, file: &File, offset: &mut u64, left: &mut u64) -> io::Result<usize> {
    let most = (*left).min(TURN as u64);
    let count = sys::send_file(fd, file.as_raw_fd(), *offset, most)?;
    if count == 0 && *left > 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    *offset += count as u64;
    *left -= count as u64;
    Ok(count)
}
