//! A parsed head: places in the caller's buffer, and what they mean.

use super::facts::Facts;
use super::parse::Progress;

/// A part of the buffer that was parsed, as offsets from its first byte.
///
/// Offsets and not slices: the connection's buffer moves and grows while its request lives. `start <= end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset behind the last byte.
    pub end: u32,
}

impl Span {
    /// The caller keeps both below 4 GiB: the search for the end of a head never looks further.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) const fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes at this place of `buf`, the buffer that was parsed.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// Number of bytes.
    #[inline]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there is no byte.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One field line (RFC 9112 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// A token, never empty, in the sender's case.
    pub name: Span,
    /// Without the whitespace around it; may be empty.
    pub value: Span,
}

/// The versions that are spoken (RFC 9112 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945).
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// How the end of a request's body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Neither Content-Length nor Transfer-Encoding: no body.
    None,
    /// Content-Length; zero when the client said zero.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
}

/// A parsed request head.
///
/// One `Head` serves many requests, one after the other: [`parse_head`](super::parse_head) clears it when it begins, and
/// keeps the room for fields. What is read of a head is there before the head is complete; `len` is 0 until then.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method, case-sensitive (RFC 9110 §9.1).
    pub method: Span,
    /// The request target as it was sent (RFC 9112 §3.2).
    pub target: Span,
    /// The undecoded path without query; "/" when absolute-form has none; "*" in asterisk-form.
    pub path: Span,
    /// What follows the first "?"; empty without one.
    pub query: Span,
    /// The authority of an absolute-form target (RFC 9112 §3.2.2).
    pub authority: Option<Span>,
    /// The host the client meant, with its port if it gave one: the authority when there is one, which RFC 9112
    /// §3.2.2 puts above the Host field, else the Host field's value (which may be empty).
    pub host: Option<Span>,
    /// The client's version.
    pub version: Version,
    /// All field lines in their order.
    pub fields: Vec<Field>,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the client lets the connection live after this request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for 100 before it sends its body (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// Bytes of the head, from the first of the buffer to the last CRLF: the body starts there.
    pub len: usize,
    /// What the field lines so far have said.
    pub(super) facts: Facts,
    /// How far it has been read; new again when it is complete.
    pub(super) progress: Progress,
}

impl Head {
    /// An empty head, to be filled by [`parse_head`](super::parse_head).
    pub const fn new() -> Self {
        Self {
            method: Span::new(0, 0),
            target: Span::new(0, 0),
            path: Span::new(0, 0),
            query: Span::new(0, 0),
            authority: None,
            host: None,
            version: Version::Http11,
            fields: Vec::new(),
            framing: Framing::None,
            keep_alive: false,
            expect_continue: false,
            len: 0,
            facts: Facts::new(),
            progress: Progress::new(),
        }
    }

    /// Begins a new head and keeps the room for fields: its places mean nothing in other bytes.
    pub fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = Self { fields, ..Self::new() };
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}
