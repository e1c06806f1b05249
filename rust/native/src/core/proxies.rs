//! What proxies in front say of a request: its real client, and how that reached them. Read where the head is parsed, so
//! that app, log and watch see the same.

use super::request::Request;
use crate::sys::Peer;
use ostler_wire::forwarded::{is_field, read, Believed, Networks};
use ostler_wire::http1::Span;

/// How a proxy was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub https: bool,
    /// The Host, in the request's buffer.
    pub host: Option<Span>,
    pub port: Option<u16>,
}

/// Sets the client of `request`, which came from `peer`, and how it was asked.
pub(super) fn settle(request: &mut Request, peer: Peer, trusted: &Networks, believed: Believed) {
    request.peer = peer;
    request.asked = Asked::default();
    let is_trusted = match peer {
        Peer::Unix => !trusted.is_empty(),
        Peer::Ip(ip, _) => trusted.contains(ip),
    };
    let bytes = &request.buffer;
    if !is_trusted || !request.head.fields.iter().any(|field| is_field(field.name.of(bytes))) {
        return;
    }
    let fields = request.head.fields.iter();
    let said = read(
        fields.map(|field| (field.name.of(bytes), field.value.of(bytes))),
        trusted,
        believed,
    );
    if let Some((ip, port)) = said.client {
        request.peer = Peer::Ip(ip, port);
    }
    request.asked = Asked {
        https: said.https.unwrap_or(false),
        host: said.host.map(|host| {
            let start = (host.as_ptr() as usize - bytes.as_ptr() as usize) as u32;
            Span {
                start,
                end: start + host.len() as u32,
            }
        }),
        port: said.port,
    };
}
