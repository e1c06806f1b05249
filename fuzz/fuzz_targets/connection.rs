//! A whole connection through the real core: socket, reactor, queue, exchange. The first bytes are the script that
//! `Driver::check` follows; what comes back must be what the rest demands.

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
    let Some((script, stream)) = input.split_first_chunk() else {
        return;
    };
    DRIVER.with_borrow_mut(|driver| driver.check(*script, stream));
});
