//! One pass over a head, while its bytes come.
//!
//! A head is a sequence of parts (RFC 9112 §2 to §5):
//!
//! | part | holds | is followed by | then comes |
//! |---|---|---|---|
//! | `Start` | nothing, or one empty line | a byte that is neither | `Method` |
//! | `Method` | 1 to 32 tchar | SP | `Target` |
//! | `Target` | bytes of the class TARGET | SP | `Version` |
//! | `Version` | `HTTP/` DIGIT `.` DIGIT | CRLF; the request line is judged | `Name` |
//! | `Name` | nothing | CRLF; the whole head is judged | the end |
//! | `Name` | tchar | `:` | `Value` |
//! | `Value` | VCHAR, obs-text, SP, HTAB | CRLF; the field line is judged | `Name` |
//!
//! The pass goes from left to right and never back, and each refusal follows from the bytes up to one place. So the
//! verdict does not depend on how the bytes were cut into reads, and what can never become a head (TLS, a bare CR, a
//! folded line) is refused at its first wrong byte, not at the header deadline. Limits are places too: the byte behind
//! one is refused, whatever it is.

use super::chars::{self, SPACE, TARGET, TOKEN};
use super::head::{Field, Head, Span, Version};
use super::{target, Limits, Reject};

/// The longest method that is read; the longest registered one has 17 letters.
const METHOD_MAX: usize = 32;
/// Bytes of an HTTP-version.
const VERSION_LEN: usize = 8;

/// Where the next byte of a head stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Start,
    Method,
    Target,
    Version,
    Name,
    Value,
}

/// How far a head has been read. The default: not at all. `line <= start <= good <= buf.len()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    part: Part,
    /// The first byte of the line.
    line: u32,
    /// The first byte of the part.
    start: u32,
    /// The first byte that has not been looked at.
    good: u32,
}

impl Progress {
    /// No byte has been read.
    pub(super) const fn new() -> Self {
        Self {
            part: Part::Start,
            line: 0,
            start: 0,
            good: 0,
        }
    }
}

/// Why the pass stops before the end of the head.
enum Stop {
    /// The bytes end here, and all of them are good.
    More,
    Bad(Reject),
}

impl From<Reject> for Stop {
    fn from(reject: Reject) -> Self {
        Self::Bad(reject)
    }
}

/// Parses the head at the start of `buf` (RFC 9112 §2 to §7, RFC 9110 §7.2, §7.6.1, §10.1.1).
///
/// `Ok(false)`: more bytes are needed. Call again with the same `head`, the same bytes and more behind them: `head` knows
/// how far it has been read, and no byte is looked at twice.
/// `Ok(true)`: `head` is complete, with places in `buf`. The next call with it begins a new head.
pub fn parse_head(buf: &[u8], limits: &Limits, head: &mut Head) -> Result<bool, Reject> {
    // Spans hold 32 bits.
    let most = limits.head.min(u32::MAX as usize - 1);
    let progress = std::mem::replace(&mut head.progress, Progress::new());
    let mut pass = Pass {
        bytes: &buf[..buf.len().min(most)],
        is_cut: buf.len() > most,
        limits,
        line: progress.line as usize,
        start: progress.start as usize,
        at: progress.good as usize,
        head,
    };
    let mut part = progress.part;
    match pass.run(&mut part) {
        Ok(()) => Ok(true),
        Err(Stop::More) => {
            pass.head.progress = Progress {
                part,
                line: truncate(pass.line),
                start: truncate(pass.start),
                good: truncate(pass.at),
            };
            Ok(false)
        }
        Err(Stop::Bad(reject)) => Err(reject),
    }
}

/// The state of one call: `line <= start <= at <= bytes.len()`.
struct Pass<'a> {
    /// What was received, up to the limit of a head.
    bytes: &'a [u8],
    /// More was received than the limit allows.
    is_cut: bool,
    limits: &'a Limits,
    line: usize,
    start: usize,
    at: usize,
    head: &'a mut Head,
}

impl Pass<'_> {
    /// Reads parts to the end of the head; `part` is the one at hand.
    fn run(&mut self, part: &mut Part) -> Result<(), Stop> {
        loop {
            *part = match part {
                Part::Start => self.empty_line()?,
                Part::Method => self.method()?,
                Part::Target => self.target()?,
                Part::Version => self.version()?,
                Part::Name => match self.name()? {
                    Some(part) => part,
                    None => return Ok(()),
                },
                Part::Value => self.value()?,
            };
        }
    }

    /// One empty line before the request line is skipped (RFC 9112 §2.2), since old clients send one after a body.
    fn empty_line(&mut self) -> Result<Part, Stop> {
        self.head.clear();
        if self.byte(0)? == b'\r' && self.byte(1)? == b'\n' {
            self.begin_line(2);
        }
        Ok(Part::Method)
    }

    fn method(&mut self) -> Result<Part, Stop> {
        let longest = self.line.saturating_add(METHOD_MAX + 1);
        self.skip(TOKEN, longest.min(self.line_end()));
        if self.at == longest {
            return Err(Reject::new(501, "the method is longer than any known one").into());
        }
        match self.line_byte(self.at)? {
            b' ' if self.at > self.start => {}
            0x16 if self.at == self.start => return Err(Reject::bad("a TLS handshake on a plaintext port").into()),
            _ => return Err(Reject::bad("the request does not start with a method").into()),
        }
        self.head.method = Span::new(self.start, self.at);
        self.begin(self.at + 1);
        Ok(Part::Target)
    }

    fn target(&mut self) -> Result<Part, Stop> {
        self.skip(TARGET, self.line_end());
        let byte = self.line_byte(self.at)?;
        if byte != b' ' || self.at == self.start {
            return Err(target_fault(byte, self.at == self.start).into());
        }
        self.head.target = Span::new(self.start, self.at);
        self.begin(self.at + 1);
        Ok(Part::Version)
    }

    /// The version, the end of the request line, and what the line means.
    fn version(&mut self) -> Result<Part, Stop> {
        while self.at < self.start + VERSION_LEN {
            let byte = self.line_byte(self.at)?;
            if !fits_version(self.at - self.start, byte) {
                return Err(version_fault(byte).into());
            }
            self.at += 1;
        }
        self.head.version = version(&self.bytes[self.start..self.at])?;
        match self.line_byte(self.at)? {
            b'\r' => {}
            byte => return Err(end_fault(byte).into()),
        }
        self.line_feed(self.at + 1, "a bare CR in the request line")?;
        target::split(self.bytes, self.head)?;
        self.begin_line(self.at + 2);
        Ok(Part::Name)
    }

    /// field-name (RFC 9112 §5), or the empty line; None: that was it, and the head is complete.
    #[inline]
    fn name(&mut self) -> Result<Option<Part>, Stop> {
        if self.byte(self.start)? == b'\r' {
            self.line_feed(self.start + 1, "a bare CR where a header line begins")?;
            self.head.len = self.start + 2;
            let facts = self.head.facts;
            facts.settle(self.head)?;
            return Ok(None);
        }
        if self.head.fields.len() >= self.limits.fields {
            return Err(Reject::new(431, "more header fields than the limit").into());
        }
        self.skip(TOKEN, usize::MAX);
        let byte = self.byte(self.at)?;
        if byte != b':' || self.at == self.start {
            return Err(name_fault(byte, self.at == self.start).into());
        }
        self.begin(self.at + 1);
        Ok(Some(Part::Value))
    }

    /// OWS field-value OWS CRLF (RFC 9112 §5), and what the field means.
    #[inline]
    fn value(&mut self) -> Result<Part, Stop> {
        self.at += chars::count_value(&self.bytes[self.at..]);
        match self.byte(self.at)? {
            b'\r' => {}
            byte => return Err(value_fault(byte).into()),
        }
        self.line_feed(self.at + 1, "a bare CR in a header value")?;
        let field = Field {
            name: Span::new(self.line, self.start - 1),
            value: trimmed(self.bytes, self.start, self.at),
        };
        self.head.facts.note(self.bytes, field)?;
        self.head.fields.push(field);
        self.begin_line(self.at + 2);
        Ok(Part::Name)
    }

    /// Passes over bytes of a class, up to the place `end`.
    #[inline]
    fn skip(&mut self, class: u8, end: usize) {
        let end = end.min(self.bytes.len());
        if let Some(rest) = self.bytes.get(self.at..end) {
            self.at += chars::count(rest, class);
        }
    }

    #[inline]
    fn byte(&self, at: usize) -> Result<u8, Stop> {
        match self.bytes.get(at) {
            Some(&byte) => Ok(byte),
            None if self.is_cut => Err(Reject::new(431, "the head is larger than the limit").into()),
            None => Err(Stop::More),
        }
    }

    /// A byte of the request line: behind its limit only the CR may stand.
    #[inline]
    fn line_byte(&self, at: usize) -> Result<u8, Stop> {
        let byte = self.byte(at)?;
        if at >= self.line_end() && byte != b'\r' {
            return Err(Reject::new(414, "the request line is longer than the limit").into());
        }
        Ok(byte)
    }

    fn line_end(&self) -> usize {
        self.line.saturating_add(self.limits.request_line)
    }

    /// The LF that must stand behind a CR (RFC 9112 §2.2).
    #[inline]
    fn line_feed(&self, at: usize, fault: &'static str) -> Result<(), Stop> {
        match self.byte(at)? {
            b'\n' => Ok(()),
            _ => Err(Reject::bad(fault).into()),
        }
    }

    fn begin(&mut self, at: usize) {
        (self.start, self.at) = (at, at);
    }

    fn begin_line(&mut self, at: usize) {
        self.line = at;
        self.begin(at);
    }
}

/// Whether `byte` may stand at this place of an HTTP-version (RFC 9112 §2.3).
fn fits_version(place: usize, byte: u8) -> bool {
    match place {
        5 | 7 => byte.is_ascii_digit(),
        _ => byte == b"HTTP/_._"[place],
    }
}

/// A later minor version is read as the latest that is known (RFC 9110 §2.5); another major one is not spoken (§15.6.6).
fn version(text: &[u8]) -> Result<Version, Reject> {
    match text {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', ..] => Ok(Version::Http11),
        _ => Err(Reject::new(505, "a major version of HTTP other than 1")),
    }
}

/// A field value without the whitespace around it.
#[inline]
fn trimmed(bytes: &[u8], mut start: usize, mut end: usize) -> Span {
    while start < end && chars::is(bytes[start], SPACE) {
        start += 1;
    }
    while end > start && chars::is(bytes[end - 1], SPACE) {
        end -= 1;
    }
    Span::new(start, end)
}

const BARE_LF: &str = "a line ends with a bare LF";

#[cold]
fn target_fault(byte: u8, empty: bool) -> Reject {
    Reject::bad(match byte {
        b'#' => "a fragment in the request target",
        b' ' => "more than one space in the request line",
        b'\r' if empty => "the request line has no target",
        b'\r' => "the request line has no version",
        b'\n' => BARE_LF,
        _ => "a control character in the request target",
    })
}

#[cold]
fn version_fault(byte: u8) -> Reject {
    Reject::bad(match byte {
        b'\n' => BARE_LF,
        _ => "not an HTTP version",
    })
}

#[cold]
fn end_fault(byte: u8) -> Reject {
    Reject::bad(match byte {
        b'\n' => BARE_LF,
        _ => "the request line does not end after the version",
    })
}

#[cold]
fn name_fault(byte: u8, empty: bool) -> Reject {
    Reject::bad(match byte {
        b' ' | b'\t' if empty => "a folded header line",
        b' ' | b'\t' => "whitespace before the colon of a header",
        b':' => "a header without a name",
        b'\r' => "a header line without a colon",
        b'\n' => BARE_LF,
        _ => "a bad character in a header name",
    })
}

#[cold]
fn value_fault(byte: u8) -> Reject {
    Reject::bad(match byte {
        b'\n' => BARE_LF,
        _ => "a control character in a header value",
    })
}

/// Nothing past the limit of a head is looked at, and that has 32 bits.
#[allow(clippy::cast_possible_truncation)]
fn truncate(len: usize) -> u32 {
    len as u32
}
