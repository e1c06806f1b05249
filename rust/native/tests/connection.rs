//! Every example of the wire corpus as a whole connection: through a socket, in pieces, answered in many ways.

mod common;

use common::Driver;
use std::path::Path;

#[test]
fn every_vector_in_many_cuts() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/http1");
    let mut driver = Driver::default();
    let mut count = 0;
    for verdict in ["accept", "reject"] {
        for entry in std::fs::read_dir(vectors.join(verdict)).expect("the corpus") {
            let path = entry.expect("an entry").path();
            let stream = std::fs::read(&path).expect("a vector");
            for seed in 0..25 {
                eprintln!("{} with seed {seed}", path.display()); // shown when it fails
                driver.check(seed, &stream);
            }
            count += 1;
        }
    }
    assert!(count > 300);
}

#[test]
fn several_requests_behind_each_other() {
    let mut driver = Driver::default();
    let one = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello".as_slice();
    let two = b"GET /b?c HTTP/1.1\r\nHost: x\r\n\r\n".as_slice();
    let three = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".as_slice();
    for seed in 0..2000 {
        driver.check(seed, &[one, two, three, two, one].concat());
    }
}
