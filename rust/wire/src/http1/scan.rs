//! The search for the end of a head, and the limits that hold while it arrives.
//!
//! Knows lines, not what is in them. Only the method is looked at, since a stream that cannot be HTTP at all (TLS, a
//! port scanner) is better refused at its first byte than at the header deadline.
//!
//! The verdict must not depend on how the bytes were cut into reads. So whatever is refused in an unfinished line is
//! refused by the same rule when the line is there at once: each limit is tested at each LF before that LF is used.

use super::chars::{self, TOKEN};
use super::{Limits, Reject};
use memchr::memchr_iter;

/// The longest method that is read; the longest registered one has 17 letters.
const METHOD_MAX: usize = 32;

/// Where the search for the end of a head goes on when more bytes have come.
///
/// Belongs to one connection's buffer; a new request starts with `Progress::default()`, which is also what
/// [`parse_head`](super::parse_head) leaves behind when a head is complete. `line <= scanned <= buf.len()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes whose LFs are counted.
    scanned: u32,
    /// Where the current line starts.
    line: u32,
    /// Lines that are complete, the request line included.
    lines: u32,
}

/// Bytes of the head when its empty line is there.
pub(super) fn find_end(buf: &[u8], progress: &mut Progress, limits: &Limits) -> Result<Option<usize>, Reject> {
    let start = skip_empty_line(buf);
    let room = Room::new(start, limits);
    check_method(&buf[start..], room.line - start)?;

    let scanned = (progress.scanned as usize).min(buf.len());
    let mut line = progress.line as usize;
    let mut lines = progress.lines as usize;
    for offset in memchr_iter(b'\n', &buf[scanned..]) {
        let lf = scanned + offset;
        room.check(lines, lf)?;
        room.check(1, lf + 1)?;
        if !buf[..lf].ends_with(b"\r") {
            return Err(Reject::bad("a line ends with a bare LF"));
        }
        let empty = lf == line + 1;
        line = lf + 1;
        if !empty {
            lines += 1;
            if lines > limits.fields.saturating_add(1) {
                return Err(Reject::new(431, "more header fields than the limit"));
            }
        } else if lines > 0 {
            return Ok(Some(line));
        }
    }
    room.check(lines, buf.len())?;
    *progress = Progress {
        scanned: truncate(buf.len()),
        line: truncate(line),
        lines: truncate(lines),
    };
    Ok(None)
}

/// How far the parts of a head may reach in the buffer.
struct Room {
    /// Bytes before the LF of the request line; `start <= line`.
    line: usize,
    /// Bytes of the whole head.
    head: usize,
}

impl Room {
    fn new(start: usize, limits: &Limits) -> Self {
        // Spans hold 32 bits.
        let head = limits.head.min(u32::MAX as usize - 1);
        let line = limits.request_line.saturating_add(start + 1).min(head);
        Self {
            line: line.max(start),
            head,
        }
    }

    /// `lines` are complete and the one after them has come as far as `len`.
    #[inline]
    fn check(&self, lines: usize, len: usize) -> Result<(), Reject> {
        if lines == 0 && len > self.line {
            return Err(Reject::new(414, "the request line is longer than the limit"));
        }
        if len > self.head {
            return Err(Reject::new(431, "the head is larger than the limit"));
        }
        Ok(())
    }
}

/// Where the request line starts: one empty line before it is skipped (RFC 9112 §2.2), since old clients send one
/// after a body. A second one fails as a method.
fn skip_empty_line(buf: &[u8]) -> usize {
    match buf {
        [b'\r', b'\n', ..] => 2,
        [b'\r'] => 1,
        _ => 0,
    }
}

/// Refuses what cannot become a request line (RFC 9112 §3); `room` as the bytes that the limit leaves for it.
fn check_method(line: &[u8], room: usize) -> Result<(), Reject> {
    let shown = &line[..line.len().min(METHOD_MAX + 1).min(room + 1)];
    let len = chars::count(shown, TOKEN);
    match shown.get(len) {
        None if len > METHOD_MAX => Err(Reject::new(501, "the method is longer than any known one")),
        None => Ok(()),
        Some(b' ') if len > 0 => Ok(()),
        Some(0x16) if len == 0 => Err(Reject::bad("a TLS handshake on a plaintext port")),
        Some(_) => Err(Reject::bad("the request does not start with a method")),
    }
}

/// Nothing past the limit of the head is counted, and that has 32 bits.
#[allow(clippy::cast_possible_truncation)]
fn truncate(len: usize) -> u32 {
    len as u32
}
