//! What proxies in front say of a request: its real client, and how that reached them. Read where the head is parsed, so
//! that app, log and watch see the same.

use super::request::Request;
use super::{Core, State};
use crate::sys::Peer;
use hostler_wire::forwarded::{is_field, read, Believed, Networks};
use hostler_wire::http1::Span;
use hostler_wire::proxy_protocol;

/// How a proxy was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub https: bool,
    /// The Host, in the request's buffer.
    pub host: Option<Span>,
    pub port: Option<u16>,
}

/// Sets the client of `request`, and how it was asked. `origin` has connected, and is believed or not; it speaks for
/// `peer`, which is itself or whom the PROXY protocol has named.
pub(super) fn settle(request: &mut Request, origin: Peer, peer: Peer, trusted: &Networks, believed: Believed) {
    request.peer = peer;
    request.asked = Asked::default();
    let is_trusted = match origin {
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

impl Core {
    /// Takes the PROXY protocol's header off a connection where one is awaited. False: the request cannot be read yet, or
    /// never.
    pub(super) fn introduce(&self, state: &mut State, index: usize, now: u64) -> bool {
        let conn = &mut state.conns[index];
        let is_awaited = self
            .listeners
            .get(usize::from(conn.listener))
            .is_some_and(|it| !it.admin);
        let Some(versions) = self.settings.proxy_protocol.filter(|_| is_awaited) else {
            conn.introduced = true;
            return true;
        };
        if let Peer::Ip(ip, _) = conn.peer {
            if !self.settings.proxy_allow.contains(ip) {
                self.refuse(
                    state,
                    index,
                    403,
                    "only proxies may connect here (proxy_allow_ips)",
                    now,
                );
                return false;
            }
        }
        let Some(request) = conn.incoming.as_deref_mut() else {
            return false;
        };
        match proxy_protocol::read(&request.buffer, versions) {
            Ok(Some(header)) => {
                request.buffer.drain(..header.len);
                conn.introduced = true;
                if let Some((ip, port)) = header.source {
                    conn.peer = Peer::Ip(ip.to_canonical(), port);
                }
                true
            }
            Ok(None) => {
                self.await_more_of_head(state, index, now);
                false
            }
            Err(reason) => {
                self.refuse(state, index, 400, reason, now);
                false
            }
        }
    }
}
