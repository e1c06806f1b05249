//! A stream of HTTP/1 requests means the same however it is cut into reads, and never more than its limits.
//!
//! `feed` itself asserts what the server relies on: spans within the head, tokens as names, no controls in values,
//! framing that the fields say too, limits kept.

#![no_main]

use libfuzzer_sys::fuzz_target;
use hostler_wire::http1::{parse_head, Head, Limits};

#[path = "../../rust/wire/tests/common/mod.rs"]
mod common;

use common::{feed, Counted, LIMITS};

/// Limits that short inputs reach.
const SMALL: Limits = Limits {
    request_line: 40,
    head: 200,
    fields: 4,
    body: 64,
};

/// Limits that end inside a method.
const TINY: Limits = Limits {
    request_line: 12,
    head: 30,
    fields: 1,
    body: 1,
};

fuzz_target!(|stream: &[u8]| {
    for limits in [&LIMITS, &SMALL, &TINY] {
        let whole = feed([stream], limits, Counted::Step);
        assert_eq!(feed(stream.chunks(1), limits, Counted::Advance), whole, "byte by byte");
        assert_eq!(feed(pieces(stream), limits, Counted::Step), whole, "in pieces");
        stops_at_the_head(stream, limits);
    }
});

/// The verdict on a head must not depend on what follows it.
fn stops_at_the_head(stream: &[u8], limits: &Limits) {
    let mut head = Head::new();
    if parse_head(stream, limits, &mut head) == Ok(true) {
        let mut alone = Head::new();
        let parsed = parse_head(&stream[..head.len], limits, &mut alone);
        assert_eq!(parsed, Ok(true));
        assert_eq!(format!("{head:?}"), format!("{alone:?}"));
    }
}

/// Cuts that look random but follow from the stream, so that a crash can be repeated and the seeds stay plain files.
fn pieces(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = stream.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut rest = stream;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Most pieces are short: the interesting cuts are next to line ends.
        let longest = if state >> 60 == 0 { 4096 } else { 24 };
        let len = (state as usize % longest).min(rest.len());
        let (piece, behind) = rest.split_at(len);
        rest = behind;
        Some(piece)
    })
}
