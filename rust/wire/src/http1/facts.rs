//! What the field lines of one head say about the message itself: host, framing, persistence, expectation.

use super::head::{Field, Framing, Head, Span, Version};
use super::response::parse_length;
use super::{host, Reject};

/// Gathered field by field, judged when all are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    host: Option<Span>,
    length: Option<u64>,
    coding: Option<Coding>,
    close: bool,
    keep_alive: bool,
    expect: Option<Expect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Continue,
    Other,
}

impl Facts {
    /// Nothing is known.
    pub(super) const fn new() -> Self {
        Self {
            host: None,
            length: None,
            coding: None,
            close: false,
            keep_alive: false,
            expect: None,
        }
    }

    /// Takes note of `field` when it is one of the five that matter here.
    #[inline]
    pub(super) fn note(&mut self, bytes: &[u8], field: Field) -> Result<(), Reject> {
        let name = field.name.of(bytes);
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.note_host(bytes, field.value),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.note_expect(field.value.of(bytes));
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.note_connection(field.value.of(bytes));
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.note_length(field.value.of(bytes)),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.note_coding(field.value.of(bytes)),
            _ => Ok(()),
        }
    }

    /// RFC 9112 §3.2: more than one Host field, or one that is no host, is answered with 400.
    fn note_host(&mut self, bytes: &[u8], value: Span) -> Result<(), Reject> {
        if self.host.is_some() {
            return Err(Reject::bad("more than one Host"));
        }
        if !host::is_host(value.of(bytes)) {
            return Err(Reject::bad("Host is not a host"));
        }
        self.host = Some(value);
        Ok(())
    }

    /// RFC 9110 §10.1.1. Any other expectation is remembered and judged with the version.
    fn note_expect(&mut self, value: &[u8]) {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            self.expect = Some(Expect::Other);
        } else if self.expect.is_none() {
            self.expect = Some(Expect::Continue);
        }
    }

    /// RFC 9112 §9.3: `close` anywhere in the list wins; options that are not known are ignored.
    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// RFC 9112 §6.3: a list of equal lengths may be read as one; not here, since peers differ on it.
    fn note_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.length.is_some() {
            return Err(Reject::bad("more than one Content-Length"));
        }
        self.length = parse_length(value);
        match self.length {
            Some(_) => Ok(()),
            None => Err(Reject::bad("Content-Length is not a number")),
        }
    }

    /// RFC 9112 §6.1, §7: `chunked` alone is the one coding that is understood.
    fn note_coding(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.coding.is_some() {
            return Err(Reject::bad("more than one Transfer-Encoding"));
        }
        let chunked = value.eq_ignore_ascii_case(b"chunked");
        self.coding = Some(if chunked { Coding::Chunked } else { Coding::Other });
        Ok(())
    }

    /// Judges what needs all fields and the version, and fills the rest of `head`.
    pub(super) fn settle(self, head: &mut Head) -> Result<(), Reject> {
        let http11 = head.version == Version::Http11;
        if http11 && self.host.is_none() {
            return Err(Reject::bad("no Host"));
        }
        head.framing = self.framing(http11)?;
        head.host = head.authority.or(self.host);
        head.keep_alive = !self.close && (http11 || self.keep_alive);
        // RFC 9110 §10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0 request MUST ignore".
        match self.expect {
            Some(Expect::Other) if http11 => return Err(Reject::new(417, "an unknown expectation")),
            expect => head.expect_continue = http11 && expect.is_some(),
        }
        Ok(())
    }

    /// RFC 9112 §6.1 and §6.3, each ambiguous case refused.
    fn framing(&self, http11: bool) -> Result<Framing, Reject> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(Reject::bad("both Content-Length and Transfer-Encoding")),
            (Some(_), None) if !http11 => Err(Reject::bad("Transfer-Encoding in HTTP/1.0")),
            (Some(Coding::Other), None) => Err(Reject::new(501, "a transfer coding other than chunked")),
            (Some(Coding::Chunked), None) => Ok(Framing::Chunked),
            (None, Some(length)) => Ok(Framing::Length(length)),
            (None, None) => Ok(Framing::None),
        }
    }
}
