//! Which fields may not stand behind a chunked body (RFC 9110 §6.5.1).
//!
//! These say where the message ends, which host and connection it is for, which credentials its sender has, and how its
//! content is to be read. All of that is decided before the body is read. A recipient that adds trailers to the header
//! fields would see another request than one that does not, and that is how requests are smuggled. So a request that
//! carries one is refused, and the others are read and dropped.
//!
//! Go's net/http refuses the framing fields (`fixTrailer`), its HTTP/2 and hyper leave out most of this list
//! (`httpguts.ValidTrailerHeader`, `is_valid_trailer_field`). Their remaining names (`Cache-Control`, `Range`, `If-*`)
//! change which answer is right, and nothing about the message.

/// In lower case; not more than `Candidates` has bits.
const FORBIDDEN: [&[u8]; 16] = [
    // Framing.
    b"content-length",
    b"te",
    b"trailer",
    b"transfer-encoding",
    // The connection (§7.6.1).
    b"connection",
    b"expect",
    b"keep-alive",
    b"proxy-connection",
    b"upgrade",
    // Routing.
    b"host",
    // Credentials.
    b"authorization",
    b"cookie",
    b"proxy-authorization",
    // How the content is read.
    b"content-encoding",
    b"content-range",
    b"content-type",
];

/// Whether a field of this name may not be a trailer.
pub(super) fn is_forbidden(name: &[u8]) -> bool {
    FORBIDDEN.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// A trailer's name that comes byte by byte: the forbidden names that it still may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidates {
    /// One bit for each of `FORBIDDEN`.
    bits: u16,
    /// Bytes that have come. No longer name has a candidate.
    len: u8,
}

impl Candidates {
    /// No byte has come.
    pub(super) const fn new() -> Self {
        Self { bits: u16::MAX, len: 0 }
    }

    /// Takes the next byte.
    pub(super) fn push(&mut self, byte: u8) {
        let (place, byte) = (usize::from(self.len), byte.to_ascii_lowercase());
        let mut left = self.bits;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            if FORBIDDEN[index].get(place) != Some(&byte) {
                self.bits &= !(1 << index);
            }
        }
        self.len = self.len.saturating_add(1);
    }

    /// Whether the bytes are a forbidden name.
    pub(super) fn is_forbidden(self) -> bool {
        let whole = |(index, name): (usize, &&[u8])| self.bits & 1 << index != 0 && name.len() == usize::from(self.len);
        FORBIDDEN.iter().enumerate().any(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_bytes(name: &[u8]) -> bool {
        let mut candidates = Candidates::new();
        for &byte in name {
            candidates.push(byte);
        }
        candidates.is_forbidden()
    }

    #[test]
    fn forbidden_names_are_known_in_any_case_whole_and_byte_by_byte() {
        for name in FORBIDDEN {
            let upper = name.to_ascii_uppercase();
            assert!(is_forbidden(&upper) && by_bytes(name) && by_bytes(&upper), "{name:?}");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn names_that_only_begin_or_end_like_them_are_allowed() {
        for name in FORBIDDEN {
            let (longer, other) = ([name, b"x"].concat(), [b"x", name].concat());
            for similar in [&name[..name.len() - 1], &longer, &other, &name.repeat(30)] {
                assert!(!is_forbidden(similar) && !by_bytes(similar), "{similar:?}");
            }
        }
        assert!(!by_bytes(b"") && !by_bytes(&[b'a'; 700]));
        assert!(!by_bytes(b"digest") && !by_bytes(b"content-md5"));
    }
}
