//! Every example of the wire corpus as a whole connection: through a socket, in pieces, answered in many ways.

mod common;

use common::{Driver, SCRIPT};
use std::path::Path;

#[test]
fn every_vector_in_many_cuts() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/http1");
    let mut driver = Driver::default(); // before any file is opened: it counts descriptors
    let mut paths = Vec::new();
    for verdict in ["accept", "reject"] {
        let entries = std::fs::read_dir(vectors.join(verdict)).expect("the corpus");
        paths.extend(entries.map(|entry| entry.expect("an entry").path()));
    }
    assert!(paths.len() > 300);
    for path in paths {
        let stream = std::fs::read(&path).expect("a vector");
        for seed in 0..25 {
            eprintln!("{} with seed {seed}", path.display()); // shown when it fails
            driver.check(script(seed), &stream);
        }
    }
}

#[test]
fn several_requests_behind_each_other() {
    let mut driver = Driver::default();
    let one = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".as_slice();
    let two = b"GET /b?c HTTP/1.1\r\nHost: x\r\n\r\n".as_slice();
    let three = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".as_slice();
    for seed in 0..2000 {
        driver.check(script(seed), &[one, two, three, two, one].concat());
    }
}

#[test]
fn a_body_that_was_asked_for_and_does_not_come_whole() {
    let mut driver = Driver::default();
    let counted = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nab".as_slice();
    let chunked =
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nab".as_slice();
    for seed in 0..500 {
        driver.check(script(seed), counted);
        driver.check(script(seed), chunked);
    }
}

/// A script that looks random (splitmix64).
fn script(seed: u64) -> [u8; SCRIPT] {
    let mut state = seed;
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed >> 56) as u8
    })
}
