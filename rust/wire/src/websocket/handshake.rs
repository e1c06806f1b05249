//! The fields of the opening handshake (RFC 6455 §4.2).

use sha1::{Digest, Sha1};

/// What every server knows (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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
pub fn is_key(key: &[u8]) -> bool {
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(|byte| BASE64.contains(byte))
}

/// Whether a comma-separated list holds a word, in whatever case.
pub fn lists(value: &[u8], word: &[u8]) -> bool {
    value
        .split(|&byte| byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
}
