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

#[test]
fn bodies_that_decode_to_nothing_move_between_workers() {
    let mut driver = Driver::default();
    let empty = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".as_slice();
    let trailers = b"POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n\r\n".as_slice();
    let chunks =
        b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n".as_slice();
    let head = b"HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n".as_slice();
    let late = b"PUT /e HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n".as_slice();
    let long = [
        b"POST /f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(),
        &b"1\r\nx\r\n".repeat(200),
        b"0\r\n\r\n",
    ]
    .concat(); // longer than `body_memory`: it moves as a file
    for seed in 0..2000 {
        driver.check(
            script(seed),
            &[empty, head, trailers, late, chunks, &long, empty, empty].concat(),
        );
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
