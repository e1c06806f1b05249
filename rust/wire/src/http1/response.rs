//! The server's answers: how a response is framed, and what may stand in it.

use super::chars::{self, TOKEN};
use super::{trailers, Version};

/// How a response announces the end of its body (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// No body, and no field that announces one.
    None,
    /// Content-Length.
    Length(u64),
    /// Transfer-Encoding: chunked.
    Chunked,
    /// The body ends with the connection.
    UntilClose,
}

/// What [`plan`] decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the head announces. Whether a body follows, [`has_body`] says.
    pub framing: BodyFraming,
    /// Whether the connection may serve another request after this response.
    pub keep_alive: bool,
}

/// Whether a response has a body at all (RFC 9110 §6.4.1): not to HEAD, and not with 1xx, 204 or 304, whatever its
/// head announces. A byte sent here would be read as the start of the next response.
pub const fn has_body(head_request: bool, status: u16) -> bool {
    !head_request && !matches!(status, 100..=199 | 204 | 304)
}

/// Decides how a response is framed (RFC 9112 §6, RFC 9110 §8.6).
///
/// * `version`: the client's. Only HTTP/1.1 knows chunked (RFC 9112 §7).
/// * `declared`: the app's Content-Length, which beats all that is known here: it is the app's promise, and the one
///   way to tell a length for HEAD and 304.
/// * `known`: the whole body's length, if it is known before the head is sent.
/// * `keep_alive`: whether the connection may live, as far as both sides have said.
///
/// | response | framing |
/// |---|---|
/// | 1xx, 204 | none: both fields are forbidden (RFC 9110 §8.6, RFC 9112 §6.1) |
/// | 304 | the declared length or none: a length that is known here is not the one GET would have had |
/// | HEAD | as for GET; nothing for an empty body, which apps return where GET has one; nothing instead of until close |
/// | a length | that length |
/// | no length, 1.1 | chunked |
/// | no length, 1.0 | until close; the connection ends with it |
pub fn plan(
    version: Version,
    head_request: bool,
    status: u16,
    declared: Option<u64>,
    known: Option<u64>,
    keep_alive: bool,
) -> Plan {
    let framing = match (status, declared.or(known)) {
        (100..=199 | 204, _) => BodyFraming::None,
        (304, _) => declared.map_or(BodyFraming::None, BodyFraming::Length),
        (_, Some(0)) if head_request && declared.is_none() => BodyFraming::None,
        (_, Some(length)) => BodyFraming::Length(length),
        (_, None) if version == Version::Http11 => BodyFraming::Chunked,
        (_, None) if head_request => BodyFraming::None,
        (_, None) => BodyFraming::UntilClose,
    };
    Plan {
        framing,
        keep_alive: keep_alive && framing != BodyFraming::UntilClose,
    }
}

/// token = 1*tchar (RFC 9110 §5.6.2), as field names and methods are.
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && chars::count(bytes, TOKEN) == bytes.len()
}

/// Whether the bytes may stand in a field value or a reason phrase (RFC 9110 §5.5, RFC 9112 §4): no control but HTAB,
/// so above all no CR, LF and NUL.
pub fn is_field_value(bytes: &[u8]) -> bool {
    chars::count_value(bytes) == bytes.len()
}

/// Whether a field belongs to the connection, so that an app may not set it (RFC 9110 §7.6.1; PEP 3333 with the list
/// of RFC 2616 §13.5.1).
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let known: &[&[u8]] = match name.len() {
        2 => &[b"te"],
        7 => &[b"trailer", b"upgrade"],
        8 => &[b"trailers"],
        10 => &[b"connection", b"keep-alive"],
        16 => &[b"proxy-connection"],
        17 => &[b"transfer-encoding"],
        18 => &[b"proxy-authenticate"],
        19 => &[b"proxy-authorization"],
        _ => return false,
    };
    known.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a field may not stand behind a chunked body (RFC 9110 §6.5.1).
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    is_hop_by_hop(name) || trailers::is_forbidden(name)
}

/// Content-Length = 1*DIGIT (RFC 9110 §8.6) in 64 bits: no sign, no space, at most the 20 digits they have.
pub fn parse_length(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 20 {
        return None;
    }
    bytes.iter().try_fold(0_u64, |length, &byte| {
        if !chars::is(byte, chars::DIGIT) {
            return None;
        }
        length.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// Appends chunk-size CRLF (RFC 9112 §7.1). The data and another CRLF must follow; with length 0 this is the last
/// chunk, and only the empty line that ends the trailers may follow.
pub fn chunk_header(len: usize, out: &mut Vec<u8>) {
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[len >> (4 * digit) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// The registered phrase of a status (RFC 9110 §15 and IANA's registry); empty when there is none, as RFC 9112 §4
/// allows.
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400..=499 => client_error(status),
        500..=511 => server_error(status),
        _ => "",
    }
}

fn client_error(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        _ => "",
    }
}

fn server_error(status: u16) -> &'static str {
    match status {
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        510 => "Not Extended",
        511 => "Network Authentication Required",
        _ => "",
    }
}
