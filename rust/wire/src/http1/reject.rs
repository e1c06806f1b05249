//! Why a request was refused.

use std::fmt;

/// A request that is not answered by the app, but with `status`; the connection is closed after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// 400, 413, 414, 417, 426, 431, 501 or 505 (RFC 9110 §15, RFC 6585 §5).
    pub status: u16,
    /// One plain clause for the log. It never holds bytes of the request.
    pub reason: &'static str,
}

impl Reject {
    pub(crate) const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason }
    }

    pub(crate) const fn bad(reason: &'static str) -> Self {
        Self::new(400, reason)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.status, self.reason)
    }
}

impl std::error::Error for Reject {}
