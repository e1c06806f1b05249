//! The protocols that hostler speaks, without I/O.
//!
//! Bytes go in, decisions come out, and bytes to send come out. This crate knows no socket, no clock and no
//! Python, so every rule in it is tested and fuzzed alone.

pub mod escape;
pub mod forwarded;
pub mod http1;
pub mod percent;
pub mod proxy_protocol;
pub mod websocket;
