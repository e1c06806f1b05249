//! The opening handshake (RFC 6455 §4.2): which request is one, and what is wrong with it.

use crate::http1::{Framing, Head, Reject, Version};
use sha1::{Digest, Sha1};

/// What every server knows (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whether a request asks for a WebSocket (RFC 6455 §4.2.1): a GET of HTTP/1.1 whose Upgrade and Connection fields say
/// so. Several lines of a field are one list (RFC 9110 §5.3). To other methods the fields mean nothing.
pub fn is_asked(head: &Head, bytes: &[u8]) -> bool {
    let any = |name, word| values(head, bytes, name).any(|value| lists(value, word));
    head.version == Version::Http11
        && head.method.of(bytes) == b"GET"
        && any(b"upgrade", b"websocket")
        && any(b"connection", b"upgrade")
}

/// Refuses a handshake that two recipients could read differently, whatever speaks the protocol after it: 400.
///
/// A body is refused, since the bytes behind the head would be a body to one and frames to another: no body is defined
/// for the handshake (RFC 6455 §4.1). So are several keys and several versions: §11.3 allows one line of each.
pub fn check(head: &Head, bytes: &[u8]) -> Result<(), Reject> {
    if !matches!(head.framing, Framing::None | Framing::Length(0)) {
        return Err(Reject::bad("a WebSocket handshake with a body"));
    }
    if values(head, bytes, b"sec-websocket-key").nth(1).is_some() {
        return Err(Reject::bad("more than one Sec-WebSocket-Key"));
    }
    if values(head, bytes, b"sec-websocket-version").nth(1).is_some() {
        return Err(Reject::bad("more than one Sec-WebSocket-Version"));
    }
    Ok(())
}

/// As [`check`], and what this crate must know to speak the protocol: 426 for another version (RFC 6455 §4.4), 400 without
/// a good key.
pub fn check_ours(head: &Head, bytes: &[u8]) -> Result<(), Reject> {
    check(head, bytes)?;
    if values(head, bytes, b"sec-websocket-version").next() != Some(b"13") {
        return Err(Reject::new(426, "a WebSocket version other than 13"));
    }
    if !values(head, bytes, b"sec-websocket-key").next().is_some_and(is_key) {
        return Err(Reject::bad("Sec-WebSocket-Key is missing or not 16 bytes in base64"));
    }
    Ok(())
}

/// The values of all fields of a name.
fn values<'a>(head: &'a Head, bytes: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> {
    let named = head
        .fields
        .iter()
        .filter(move |field| field.name.len() == name.len() && field.name.of(bytes).eq_ignore_ascii_case(name));
    named.map(move |field| field.value.of(bytes))
}

/// The value of Sec-WebSocket-Accept for a key.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let digest: [u8; 20] = hash.finalize().into();
    let mut out = [b'='; 28];
    for (place, group) in out.chunks_exact_mut(4).zip(digest.chunks(3)) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (index, digit) in place.iter_mut().take(group.len() + 1).enumerate() {
            *digit = BASE64[(word >> (18 - 6 * index) & 63) as usize];
        }
    }
    out
}

/// Whether this can be a Sec-WebSocket-Key: sixteen bytes in base64.
fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(|byte| BASE64.contains(byte))
}

/// Whether a comma-separated list holds a word, in whatever case.
fn lists(value: &[u8], word: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{parse_head, Limits};

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const VERSION: &str = "Sec-WebSocket-Version: 13";
    const ASKS: [&str; 2] = ["Upgrade: websocket", "Connection: Upgrade"];

    fn head(line: &str, fields: &[&str]) -> (Head, Vec<u8>) {
        let bytes = [&[line, "Host: a"], fields, &["", ""]]
            .concat()
            .join("\r\n")
            .into_bytes();
        let limits = Limits {
            request_line: 100,
            head: 1000,
            fields: 20,
            body: 100,
        };
        let mut head = Head::new();
        assert_eq!(parse_head(&bytes, &limits, &mut head), Ok(true), "{fields:?}");
        (head, bytes)
    }

    fn asks(line: &str, fields: &[&str]) -> bool {
        let (head, bytes) = head(line, fields);
        is_asked(&head, &bytes)
    }

    /// The status of a handshake with these fields: for a library's socket, and for ours.
    fn statuses(fields: &[&str]) -> (u16, u16) {
        let (head, bytes) = head("GET / HTTP/1.1", &[&ASKS, fields].concat());
        let status = |verdict: Result<(), Reject>| verdict.map_or_else(|reject| reject.status, |()| 101);
        (status(check(&head, &bytes)), status(check_ours(&head, &bytes)))
    }

    #[test]
    fn several_lines_of_upgrade_and_connection_are_one_list() {
        let get = "GET / HTTP/1.1";
        for fields in [
            &ASKS[..],
            &["UPGRADE: WebSocket", "connection: keep-alive, Upgrade"],
            &["Upgrade: h2c", "Upgrade: websocket", "Connection: Upgrade"],
            &["Connection: keep-alive", "Upgrade: websocket", "Connection: Upgrade"],
            &[
                "Connection:",
                "Connection: upgrade",
                "Upgrade:",
                "Upgrade: a, websocket",
            ],
        ] {
            assert!(asks(get, fields), "{fields:?}");
            assert!(!asks("POST / HTTP/1.1", fields) && !asks("GET / HTTP/1.0", fields));
        }
        for fields in [
            &ASKS[..1],
            &ASKS[1..],
            &["Upgrade: websockets", "Connection: Upgrade"],
            &["Upgrade: websocket", "Connection: upgraded"],
            &["Upgrade: websocket", "Connection: websocket"],
        ] {
            assert!(!asks(get, fields), "{fields:?}");
        }
    }

    #[test]
    fn a_handshake_with_a_body_is_refused() {
        for fields in [
            "Content-Length: 1",
            "Content-Length: 100000000000",
            "Transfer-Encoding: chunked",
        ] {
            assert_eq!(statuses(&[KEY, VERSION, fields]), (400, 400), "{fields}");
        }
        assert_eq!(statuses(&[KEY, VERSION, "Content-Length: 0"]), (101, 101));
        assert_eq!(statuses(&[KEY, VERSION]), (101, 101));
    }

    #[test]
    fn several_keys_or_versions_are_refused_even_when_they_are_equal() {
        assert_eq!(statuses(&[KEY, KEY, VERSION]), (400, 400));
        assert_eq!(statuses(&[KEY, VERSION, VERSION]), (400, 400));
        assert_eq!(statuses(&[KEY, "sec-websocket-version: 8", VERSION]), (400, 400));
        assert_eq!(statuses(&["Sec-WebSocket-Key: x", KEY, VERSION]), (400, 400));
    }

    #[test]
    fn our_own_sockets_need_version_13_and_a_key() {
        assert_eq!(statuses(&[KEY, "Sec-WebSocket-Version: 8"]), (101, 426));
        assert_eq!(statuses(&[KEY]), (101, 426));
        assert_eq!(statuses(&[VERSION]), (101, 400));
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ=x",
            "dGhlIHNhbXBsZSBub25jZQ====",
        ] {
            assert_eq!(
                statuses(&[&format!("Sec-WebSocket-Key: {key}"), VERSION]),
                (101, 400),
                "{key}"
            );
        }
        assert!(!is_key(b"dGhlIHNhbXBsZSBub25j ZQ=="));
    }

    #[test]
    fn the_key_is_accepted_as_the_specification_shows() {
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
