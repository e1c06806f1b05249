//! The bytes that a path means (RFC 3986 §2.1).

/// The bytes of a path, decoded; what is no escape stands for itself.
#[derive(Clone, Debug)]
pub struct Decoded<'a>(pub &'a [u8]);

impl<'a> Decoded<'a> {
    /// What has not been read yet, as it was sent.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = match *self.0 {
            [] => return None,
            [b'%', high, low, ..] => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            [byte, ..] => (byte, 1),
        };
        self.0 = &self.0[rest..];
        Some(byte)
    }
}

/// The value of a hexadecimal digit.
const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends `raw` decoded.
pub fn decode(raw: &[u8], out: &mut Vec<u8>) {
    let plain = raw.iter().position(|&byte| byte == b'%').unwrap_or(raw.len());
    out.extend_from_slice(&raw[..plain]);
    out.extend(Decoded(&raw[plain..]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_and_all_else_stands_for_itself() {
        for (raw, meant) in [
            ("", &b""[..]),
            ("/a/b", b"/a/b"),
            ("/a%20b%2Fc", b"/a b/c"),
            ("%C3%a9", b"\xc3\xa9"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%4g%+1%%41", b"%4g%+1%A"),
            ("/%00%25", b"/\0%"),
        ] {
            let mut out = b">".to_vec();
            decode(raw.as_bytes(), &mut out);
            assert_eq!(&out[1..], meant, "{raw}");
        }
    }
}
