//! Any bytes at the beginning of a connection: no panic, and a verdict that does not depend on how they are cut: what is
//! whole stays whole and the same with more bytes behind it, what is refused stays refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use hostler_wire::proxy_protocol::{read, Versions};

fuzz_target!(|bytes: &[u8]| {
    for versions in [Versions::One, Versions::Two, Versions::Both] {
        let whole = read(bytes, versions);
        if let Ok(Some(header)) = whole {
            assert!(header.len <= bytes.len());
            assert_eq!(read(&bytes[..header.len], versions), whole);
            assert_eq!(read(&bytes[..header.len - 1], versions), Ok(None));
        }
        for cut in 0..bytes.len() {
            match read(&bytes[..cut], versions) {
                Ok(None) => {}
                verdict => assert_eq!(verdict, whole, "cut at {cut}"),
            }
        }
    }
});
