//! Text from outside, made harmless for logs: the rule of src/hostler/proc/printable.py, in the three forms that logs have.
//!
//! Escaped is what moves a terminal's cursor or begins a line, what changes the order of the text, and what cannot be seen.
//! tests/vectors/printable holds the rule and examples of each form, for this file and for Python.

use std::fmt::Write as _;
use std::io::Write as _;

/// First and last of each range; the last two code points of every plane besides. Surrogates cannot occur in a `char`.
const ESCAPED: [(u32, u32); 32] = [
    (0x0000, 0x001F),
    (0x007F, 0x00A0),
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2000, 0x200F),
    (0x2028, 0x202F),
    (0x205F, 0x206F),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xD800, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
    (0xF0000, 0x10FFFF),
];

/// Whether a character may stand in a log as it is.
fn is_plain(character: char) -> bool {
    let code = character as u32;
    if code < 0x7f {
        return code >= 0x20;
    }
    let at = ESCAPED.partition_point(|&(first, _)| first <= code);
    let is_listed = at > 0 && code <= ESCAPED[at - 1].1;
    !is_listed && code & 0xFFFE != 0xFFFE
}

/// For the error log: one line, with what is not plain as `\n`, `\x1b`, `\u202e` or `\U000e0041`.
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let code = character as u32;
        let _ = match character {
            _ if is_plain(character) => out.write_char(character),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ if code < 0x1_0000 => write!(out, "\\u{code:04x}"),
            _ => write!(out, "\\U{code:08x}"),
        };
    }
    out
}

/// For a string in JSON (RFC 8259 section 7): what reads it gets the text back, a terminal that shows the line does not.
pub fn json(out: &mut Vec<u8>, value: &[u8]) {
    for character in String::from_utf8_lossy(value).chars() {
        if matches!(character, '"' | '\\') {
            out.extend_from_slice(&[b'\\', character as u8]);
        } else if is_plain(character) {
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = include_str!("../../../../tests/vectors/printable/escaped.tsv");
    const EXAMPLES: &str = include_str!("../../../../tests/vectors/printable/examples.tsv");

    fn unhex(text: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(digits).collect()
    }

    #[test]
    fn each_character_is_escaped_as_the_table_says() {
        let code = |text: &str| u32::from_str_radix(text, 16).expect("hexadecimal");
        let ranges: Vec<(u32, u32)> = TABLE
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(first, last)| (code(first), code(last)))
            .collect();
        assert!(ranges.len() > 30);
        for character in '\0'..=char::MAX {
            let is_listed = ranges.iter().any(|&(a, b)| (a..=b).contains(&(character as u32)));
            assert_eq!(is_plain(character), !is_listed, "U+{:04X}", character as u32);
        }
    }

    #[test]
    fn each_example_has_its_three_forms() {
        let mut seen = 0;
        for line in EXAMPLES.lines() {
            let [name, bytes, error, access, object] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let raw = unhex(bytes);
            assert_eq!(printable(&String::from_utf8_lossy(&raw)), error, "{name}");
            let (mut out, mut text) = (Vec::new(), Vec::new());
            hostler_wire::escape::escape(&raw, &mut out); // the access log's quoted fields
            json(&mut text, &raw);
            assert_eq!(String::from_utf8_lossy(&out), access, "{name}");
            assert_eq!(String::from_utf8_lossy(&text), object, "{name}");
            seen += 1;
        }
        assert!(seen > 20);
    }
}
