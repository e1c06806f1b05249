//! What one request may cost.

/// Limits of one request; the caller chooses them, nothing here has a default.
///
/// Each one counts while bytes arrive: the request is refused as soon as it cannot be within its limits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line without its CRLF; past it: 414 (RFC 9112 §3).
    pub request_line: usize,
    /// Bytes of the whole head, from the first byte to the empty line; past it: 431 (RFC 6585 §5). The trailer
    /// section of a chunked body may be as large again.
    pub head: usize,
    /// Header fields; past it: 431. The trailer section may hold as many again.
    pub fields: usize,
    /// Bytes of body, without chunk framing; past it: 413 (RFC 9110 §15.5.14).
    pub body: u64,
}
