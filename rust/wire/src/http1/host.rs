//! uri-host \[ ":" port \], the grammar of Host and of an authority (RFC 9110 §7.2, RFC 3986 §3.2.2).

use super::chars::{self, HEX, HOST};
use std::net::Ipv6Addr;

/// Whether `value` may stand in a Host field: an authority, or nothing when the target has none (RFC 9112 §3.2).
pub(crate) fn is_host(value: &[u8]) -> bool {
    value.is_empty() || is_authority(value)
}

/// Whether `value` names a host, with or without port. Userinfo is refused: it never belongs here (RFC 9110 §4.2.4).
pub(super) fn is_authority(value: &[u8]) -> bool {
    if let [b'[', rest @ ..] = value {
        let Some(end) = memchr::memchr(b']', rest) else {
            return false;
        };
        return is_ipv6(&rest[..end]) && is_port_suffix(&rest[end + 1..]);
    }
    let name = name_len(value);
    name > 0 && is_port_suffix(&value[name..])
}

/// An IPv6 address (RFC 3986 §3.2.2). No other literal is defined yet, and a zone means something to the client only
/// (RFC 4007 §11).
fn is_ipv6(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Bytes of a registered name or IPv4 address: unreserved, sub-delims and pct-encoded.
fn name_len(bytes: &[u8]) -> usize {
    let mut len = chars::count(bytes, HOST);
    while let [b'%', high, low, ..] = &bytes[len..] {
        if !chars::is(*high, HEX) || !chars::is(*low, HEX) {
            break;
        }
        len += 3;
        len += chars::count(&bytes[len..], HOST);
    }
    len
}

/// Nothing, or ":" and a port; the port may be empty (RFC 3986 §3.2.3) but not more than TCP has.
fn is_port_suffix(bytes: &[u8]) -> bool {
    match bytes {
        [] | [b':'] => true,
        [b':', port @ ..] => super::response::parse_length(port).is_some_and(|port| port <= 65535),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_port() {
        for good in [
            "a",
            "a.b:80",
            "a:",
            "[::1]",
            "[::1]:8000",
            "%41.b",
            "192.0.2.1:1",
            "a_b",
            "a:0",
            "a:65535",
        ] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
    }

    #[test]
    fn what_is_no_host() {
        for bad in [
            "", ":80", "a b", "a,b", "u@a", "a/", "a:65536", "a:8x", "a:+8", "[::1", "[::1]x", "[]", "[v1.a]", "%4",
        ] {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
        assert!(is_host(b""), "a Host field may be empty");
    }
}
