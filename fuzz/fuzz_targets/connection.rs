//! A whole connection through the real core: socket, reactor, queue, exchange. The first byte chooses how the bytes are
//! cut and how the app answers; `Driver::check` holds what comes back to what the rest demands.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

#[path = "../../rust/native/tests/common/mod.rs"]
mod common;

use common::Driver;

thread_local! {
    static DRIVER: RefCell<Driver> = RefCell::default();
}

fuzz_target!(|input: &[u8]| {
    let Some((seed, stream)) = input.split_first() else {
        return;
    };
    DRIVER.with_borrow_mut(|driver| driver.check(u64::from(*seed), stream));
});
