//! A request's body: the bytes without their framing (RFC 9112 §6, §7.1).

use super::chunk::At;
use super::trailers::Candidates;
use super::{Framing, Limits, Reject};
use core::ops::Range;

/// Hexadecimal digits of a chunk size: what 64 bits hold. Two peers wrapped around here.
const SIZE_DIGITS: u8 = 16;
/// Bytes of a chunk's size line without its CRLF. Real ones have two to five.
const SIZE_LINE: u16 = 256;
/// Bytes of chunk extensions in a whole body. Nobody uses them but to make a server read for nothing.
const EXTENSIONS: u16 = 4096;

/// Separates a body from its framing, in whatever pieces it arrives.
///
/// Call [`step`](Self::step) with what was received until it has consumed all of it or the body
/// [is done](Self::is_done). After an error the connection is of no use any more.
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    /// Counted: bytes still to come. Chunked: bytes of this chunk still to come, or its size so far.
    left: u64,
    /// How many more bytes of data the limit allows, beyond `left`.
    room: u64,
    /// Bytes and lines that the trailer section may still take.
    trailer_bytes: usize,
    trailer_lines: usize,
    /// What the name of the trailer at hand may become.
    trailer_name: Candidates,
    /// Extension bytes that the body may still take.
    extensions: u16,
    /// Bytes of the size line at hand, and how many of them are digits.
    line: u16,
    digits: u8,
    /// `Data` or `Done` when counted.
    at: At,
    chunked: bool,
}

/// What [`BodyDecoder::step`] made of its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that belong to this body, framing included; not 0 unless the body was done before or the
    /// input is empty.
    pub consumed: usize,
    /// The part of the input that is body; `data.end <= consumed`.
    pub data: Range<usize>,
    /// Whether the body is complete: what follows `consumed` is the next request.
    pub done: bool,
}

impl BodyDecoder {
    /// A decoder for the body behind a head; 413 at once when it declares more than the limit (RFC 9110 §15.5.14).
    pub fn new(framing: Framing, limits: &Limits) -> Result<Self, Reject> {
        let (chunked, left) = match framing {
            Framing::None => (false, 0),
            Framing::Length(length) => (false, length),
            Framing::Chunked => (true, 0),
        };
        let Some(room) = limits.body.checked_sub(left) else {
            return Err(too_large());
        };
        let at = match (chunked, left) {
            (true, _) => At::SizeStart,
            (false, 0) => At::Done,
            (false, _) => At::Data,
        };
        Ok(Self {
            left,
            room,
            trailer_bytes: limits.head,
            trailer_lines: limits.fields,
            trailer_name: Candidates::new(),
            extensions: EXTENSIONS,
            line: 0,
            digits: 0,
            at,
            chunked,
        })
    }

    /// Takes the next bytes of the stream: framing up to the next data, then data as far as there is.
    #[inline]
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Reject> {
        let mut at = 0;
        while at < input.len() && !matches!(self.at, At::Data | At::Done) {
            self.frame(input[at])?;
            at += 1;
        }
        let start = at;
        if self.at == At::Data {
            let here = (input.len() - at) as u64;
            let taken = self.left.min(here);
            self.take(taken);
            // `taken <= here`, which was a usize.
            #[allow(clippy::cast_possible_truncation)]
            {
                at += taken as usize;
            }
        }
        Ok(Step {
            consumed: at,
            data: start..at,
            done: self.at == At::Done,
        })
    }

    /// Counted bodies: bytes still to come. None when chunked: nobody knows.
    #[inline]
    pub fn remaining(&self) -> Option<u64> {
        (!self.chunked).then_some(self.left)
    }

    /// Counted bodies: `n` bytes, not more than [`remaining`](Self::remaining), went from the socket into their place
    /// without passing through [`step`](Self::step).
    #[inline]
    pub fn advance(&mut self, n: u64) {
        debug_assert!(!self.chunked && n <= self.left, "not a counted body, or past its end");
        if !self.chunked {
            self.take(n.min(self.left));
        }
    }

    /// Whether the body is complete.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    fn take(&mut self, n: u64) {
        self.left -= n;
        if self.left == 0 {
            self.at = if self.chunked { At::DataCr } else { At::Done };
        }
    }

    /// One byte of chunk framing: the table says what it is, the budgets say whether there is room for it.
    #[inline]
    fn frame(&mut self, byte: u8) -> Result<(), Reject> {
        if self.at.is_trailer() {
            return self.trailer(byte);
        }
        let next = self.at.next(byte, self.left == 0);
        let next = next.ok_or_else(|| fault(self.at))?;
        match next {
            At::Size => self.digit(byte)?,
            At::SizeLf => self.size()?,
            At::SizeStart | At::Data | At::DataLf | At::TrailerStart => (self.line, self.digits) = (0, 0),
            _ => self.extension()?,
        }
        self.at = next;
        Ok(())
    }

    #[inline]
    fn digit(&mut self, byte: u8) -> Result<(), Reject> {
        if self.digits == SIZE_DIGITS {
            return Err(Reject::bad("a chunk size of more than 16 digits"));
        }
        self.digits += 1;
        self.line += 1;
        let value = char::from(byte).to_digit(16).unwrap_or(0);
        // 16 digits of 4 bits fill `left` exactly: nothing is shifted out.
        self.left = self.left << 4 | u64::from(value);
        Ok(())
    }

    /// The size is complete: the limit is tested before a byte of the data is read.
    #[inline]
    fn size(&mut self) -> Result<(), Reject> {
        let Some(room) = self.room.checked_sub(self.left) else {
            return Err(too_large());
        };
        self.room = room;
        Ok(())
    }

    fn extension(&mut self) -> Result<(), Reject> {
        if self.line == SIZE_LINE || self.extensions == 0 {
            return Err(Reject::bad("chunk extensions past their limit"));
        }
        self.line += 1;
        self.extensions -= 1;
        Ok(())
    }

    /// One byte of the trailer section. Few bodies have more of it than its end.
    #[inline(never)]
    fn trailer(&mut self, byte: u8) -> Result<(), Reject> {
        let next = self.at.next(byte, true);
        let next = next.ok_or_else(|| fault(self.at))?;
        let line = usize::from(self.at == At::TrailerStart && next == At::TrailerName);
        match (self.trailer_bytes.checked_sub(1), self.trailer_lines.checked_sub(line)) {
            (Some(bytes), Some(lines)) => (self.trailer_bytes, self.trailer_lines) = (bytes, lines),
            _ => return Err(Reject::new(431, "the trailers are past the limits of a head")),
        }
        match next {
            At::TrailerName => self.trailer_name.push(byte),
            At::TrailerStart => self.trailer_name = Candidates::new(),
            _ if self.at == At::TrailerName && self.trailer_name.is_forbidden() => {
                return Err(Reject::bad("a trailer of a name that only a header may have"));
            }
            _ => {}
        }
        self.at = next;
        Ok(())
    }
}

#[cold]
fn too_large() -> Reject {
    Reject::new(413, "the body is larger than the limit")
}

/// A byte that has no transition from here.
#[cold]
fn fault(at: At) -> Reject {
    Reject::bad(at.fault())
}
