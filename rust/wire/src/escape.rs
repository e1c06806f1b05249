//! Bytes of a request as text for people: in logs, in the live view, on a terminal.

/// Appends bytes from outside so that they can neither begin a line, nor end a quoted field, nor steer a terminal:
/// printable ASCII as it is, `"` and `\` behind a backslash, every other byte as `\xHH`. What a client sends is bytes of
/// no known encoding, and stays distinguishable as such.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let is_plain = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if bytes.iter().all(|&byte| is_plain(byte)) {
        return out.extend_from_slice(bytes);
    }
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            _ if is_plain(byte) => out.push(byte),
            _ => out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
}

/// The same as a string of its own.
pub fn escaped(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len());
    escape(bytes, &mut out);
    out.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_stays_as_it_is() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        let text = escaped(&all);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(escaped(b"/a?b=%20 ~'"), "/a?b=%20 ~'");
        assert_eq!(escaped("/caf\u{e9}".as_bytes()), r"/caf\xc3\xa9");
        assert_eq!(escaped(b"/caf\xe9\x1b[2J\r\n"), r"/caf\xe9\x1b[2J\x0d\x0a");
        assert_eq!(escaped(br#"a"b\c"#), r#"a\"b\\c"#);
        assert_eq!(escaped(b""), "");
    }
}
