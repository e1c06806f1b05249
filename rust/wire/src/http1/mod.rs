//! HTTP/1.0 and HTTP/1.1, the server's side (RFC 9112, with the semantics of RFC 9110).
//!
//! A request is read in two steps. [`parse_head`] parses the head while it comes, going on where the last call stopped.
//! [`BodyDecoder`] then separates the body from its framing, in whatever pieces the bytes arrive. [`response`] decides
//! how a response is framed.
//!
//! Four rules hold everywhere and are what the fuzz target checks:
//!
//! * The verdict depends on the bytes only, never on how they were cut into reads.
//! * Where RFC 9112 lets a recipient be lenient in a way that another recipient may not share (bare LF, line
//!   folding, several lengths), the request is refused: two readings of one message are how requests are smuggled.
//! * Bytes that can never become a head are refused at once: the rest of such a head is not waited for.
//! * Every limit counts while bytes arrive, so an endless message needs no more memory than its limit.
//!
//! Any [`Reject`] ends the connection: what follows in the stream has no known meaning any more.

mod body;
mod chars;
mod chunk;
mod facts;
mod head;
mod host;
mod limits;
mod parse;
mod reject;
pub mod response;
mod target;
mod trailers;

pub use body::{BodyDecoder, Step};
pub use head::{Field, Framing, Head, Span, Version};
pub(crate) use host::is_host;
pub use limits::Limits;
pub use parse::parse_head;
pub use reject::Reject;
