//! WebSocket, the server's side (RFC 6455), with permessage-deflate (RFC 7692).
//!
//! [`Decoder`] takes a client's bytes in whatever pieces they come and gives messages and control frames; [`Encoder`] writes
//! ours. [`handshake`] knows the fields of the opening handshake. The verdict depends on the bytes only, never on how they
//! were cut; every limit counts while bytes arrive, inflated ones included.

mod decode;
mod deflate;
mod encode;
mod frame;
pub mod handshake;
#[cfg(test)]
mod tests;

pub use decode::{Decoder, Event, Failure, Limits};
pub use deflate::{negotiate_deflate, Deflate};
pub use encode::{close, ping, pong, Encoder};
pub use frame::is_sendable_close_code;
