//! One pass over a complete head.
//!
//! `find_end` has made sure of three things, which are relied on here: the head ends with an empty line, no line
//! ends with a bare LF, and the limits hold.

use super::chars::{self, SPACE, TARGET, TOKEN};
use super::facts::Facts;
use super::head::{Field, Head, Span, Version};
use super::{scan, target, Limits, Progress, Reject};

/// Parses the head at the start of `buf`, when it is complete (RFC 9112 §2 to §7, RFC 9110 §7.2, §7.6.1, §10.1.1).
///
/// `Ok(false)`: more bytes are needed; call again with the same bytes and more behind them, and with the same
/// `progress`, so that nothing is searched twice. `head` is untouched until then, so connections may share one.
/// `Ok(true)`: `head` is filled, with places in `buf`, and `progress` is ready for the next request.
pub fn parse_head(buf: &[u8], progress: &mut Progress, limits: &Limits, head: &mut Head) -> Result<bool, Reject> {
    let Some(len) = scan::find_end(buf, progress, limits)? else {
        return Ok(false);
    };
    *progress = Progress::default();
    head.clear();
    head.len = len;
    let bytes = &buf[..len];
    let fields = request_line(bytes, head)?;
    let facts = field_lines(bytes, fields, head)?;
    facts.settle(head)?;
    Ok(true)
}

/// method SP request-target SP HTTP-version CRLF (RFC 9112 §3): single spaces, nothing else. Where the fields start.
fn request_line(bytes: &[u8], head: &mut Head) -> Result<usize, Reject> {
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let method_end = start + chars::count(&bytes[start..], TOKEN);
    let target_start = method_end + 1;
    let target_end = target_start + chars::count(&bytes[target_start..], TARGET);
    if bytes[target_end] != b' ' || target_end == target_start {
        return Err(target_fault(bytes[target_end], target_end == target_start));
    }
    head.method = Span::new(start, method_end);
    head.target = Span::new(target_start, target_end);
    let version_start = target_end + 1;
    let version_end = version_start + chars::count(&bytes[version_start..], TARGET);
    head.version = version(&bytes[version_start..version_end])?;
    if !bytes[version_end..].starts_with(b"\r\n") {
        return Err(Reject::bad("the request line does not end after the version"));
    }
    target::split(bytes, head)?;
    Ok(version_end + 2)
}

#[cold]
fn target_fault(byte: u8, empty: bool) -> Reject {
    Reject::bad(match byte {
        b'#' => "a fragment in the request target",
        b' ' => "more than one space in the request line",
        b'\r' if empty => "the request line has no target",
        b'\r' => "the request line has no version",
        _ => "a control character in the request target",
    })
}

/// HTTP-version (RFC 9112 §2.3); RFC 9110 §15.6.6 for the versions that are not spoken.
fn version(bytes: &[u8]) -> Result<Version, Reject> {
    match bytes {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Reject::new(505, "neither HTTP/1.0 nor HTTP/1.1"))
        }
        _ => Err(Reject::bad("not an HTTP version")),
    }
}

/// field-line = field-name ":" OWS field-value OWS CRLF (RFC 9112 §5), to the empty line.
fn field_lines(bytes: &[u8], start: usize, head: &mut Head) -> Result<Facts, Reject> {
    let mut facts = Facts::default();
    let mut at = start;
    while at + 2 < bytes.len() {
        let name_end = at + chars::count(&bytes[at..], TOKEN);
        if bytes[name_end] != b':' || name_end == at {
            return Err(name_fault(bytes[name_end], name_end == at));
        }
        let value_start = name_end + 1 + chars::count(&bytes[name_end + 1..], SPACE);
        let line_end = value_start + chars::count_value(&bytes[value_start..]);
        if !bytes[line_end..].starts_with(b"\r\n") {
            return Err(value_fault(bytes[line_end]));
        }
        let value_end = trim_end(bytes, value_start, line_end);
        let field = Field {
            name: Span::new(at, name_end),
            value: Span::new(value_start, value_end),
        };
        facts.note(bytes, field)?;
        head.fields.push(field);
        at = line_end + 2;
    }
    Ok(facts)
}

#[inline]
fn trim_end(bytes: &[u8], start: usize, mut end: usize) -> usize {
    while end > start && chars::is(bytes[end - 1], SPACE) {
        end -= 1;
    }
    end
}

#[cold]
fn name_fault(byte: u8, empty: bool) -> Reject {
    Reject::bad(match byte {
        b' ' | b'\t' if empty => "a folded header line",
        b' ' | b'\t' => "whitespace before the colon of a header",
        b':' => "a header without a name",
        b'\r' => "a header line without a colon",
        _ => "a bad character in a header name",
    })
}

#[cold]
fn value_fault(byte: u8) -> Reject {
    Reject::bad(match byte {
        b'\r' => "a bare CR in a header value",
        _ => "a control character in a header value",
    })
}
