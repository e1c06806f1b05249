//! What proxies in front say of a request: its real client, and how that reached them. Read where the head is parsed, so
//! that app, log and watch see the same.
//!
//! There may be two layers: a TCP proxy that speaks the PROXY protocol, and in front of it an HTTP proxy that adds fields.
//! The fields come from the end that the connection speaks for (its *peer*), so the trust in them is decided by that end
//! alone. A TCP proxy passes bytes on: that it is trusted itself says nothing about the fields of its client.
//!
//! | the connection begins with | its peer | the fields count if |
//! |---|---|---|
//! | no PROXY header | the other end | that is in `forwarded_allow_ips`, or a unix socket and that is not empty |
//! | a PROXY header that names a source | the source | that is in `forwarded_allow_ips` |
//! | a PROXY header without one (LOCAL, UNKNOWN) | the other end | as without a header |

use super::request::Request;
use super::{Core, State};
use crate::sys::Peer;
use hostler_wire::forwarded::{is_field, read, Believed, Networks};
use hostler_wire::http1::Span;
use hostler_wire::proxy_protocol::{self, Header};

/// How a proxy was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub https: bool,
    /// The Host, in the request's buffer.
    pub host: Option<Span>,
    pub port: Option<u16>,
}

/// The end that a connection speaks for: the source that its PROXY header names, or else the other end.
fn peer_of(other_end: Peer, header: &Header) -> Peer {
    header
        .source
        .map_or(other_end, |(ip, port)| Peer::Ip(ip.to_canonical(), port))
}

/// Whether the fields of `peer` are believed.
fn is_trusted(peer: Peer, trusted: &Networks) -> bool {
    match peer {
        Peer::Unix => !trusted.is_empty(),
        Peer::Ip(ip, _) => trusted.contains(ip),
    }
}

/// Sets the client of `request`, and how it was asked. `peer`: the end that its connection speaks for.
pub(super) fn settle(request: &mut Request, peer: Peer, trusted: &Networks, believed: Believed) {
    request.peer = peer;
    request.asked = Asked::default();
    let bytes = &request.buffer;
    if !is_trusted(peer, trusted) || !request.head.fields.iter().any(|field| is_field(field.name.of(bytes))) {
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
                conn.peer = peer_of(conn.peer, &header);
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

#[cfg(test)]
mod tests {
    use super::*;
    use hostler_wire::http1::{parse_head, Limits};
    use hostler_wire::proxy_protocol::Versions;

    const TRUSTED: &str = "10.0.0.0/8";
    const NAMES_TRUSTED: &[u8] = b"PROXY TCP4 10.1.1.1 10.0.0.9 4711 80\r\n";
    const NAMES_UNTRUSTED: &[u8] = b"PROXY TCP4 203.0.113.5 10.0.0.9 4711 80\r\n";
    const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
    const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    fn peer(text: &str) -> Peer {
        match text {
            "unix" => Peer::Unix,
            text => Peer::Ip(text.parse().expect("an address"), 1),
        }
    }

    /// Client, scheme, Host and port of a request that names all of them.
    fn seen(other_end: &str, header: &[u8], trusted: &str) -> String {
        let mut request = Request::default();
        request.buffer.extend_from_slice(
            b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n\
              X-Forwarded-Host: shop\r\nX-Forwarded-Port: 8443\r\n\r\n",
        );
        let limits = Limits {
            request_line: 100,
            head: 1000,
            fields: 10,
            body: 0,
        };
        assert_eq!(parse_head(&request.buffer, &limits, &mut request.head), Ok(true));
        let mut peer = peer(other_end);
        if !header.is_empty() {
            let header = proxy_protocol::read(header, Versions::Both)
                .expect("valid")
                .expect("whole");
            peer = peer_of(peer, &header);
        }
        let trusted = Networks::parse(trusted).expect("networks");
        settle(&mut request, peer, &trusted, Believed::All);
        let client = match request.peer {
            Peer::Unix => "unix".to_owned(),
            Peer::Ip(ip, _) => ip.to_string(),
        };
        let asked = request.asked;
        let host = asked.host.map_or(&b"x"[..], |host| host.of(&request.buffer));
        format!("{client} {} {} {:?}", asked.https, host.escape_ascii(), asked.port)
    }

    #[test]
    fn fields_count_only_if_the_end_that_the_connection_speaks_for_is_trusted() {
        let believed = "198.51.100.7 true shop Some(8443)";
        for (other_end, header, client) in [
            ("10.0.0.1", &b""[..], None),
            ("10.0.0.1", NAMES_TRUSTED, None),
            ("10.0.0.1", NAMES_UNTRUSTED, Some("203.0.113.5")),
            ("10.0.0.1", UNKNOWN, None),
            ("10.0.0.1", LOCAL, None),
            ("192.0.2.9", b"", Some("192.0.2.9")),
            ("192.0.2.9", NAMES_TRUSTED, None),
            ("192.0.2.9", NAMES_UNTRUSTED, Some("203.0.113.5")),
            ("192.0.2.9", UNKNOWN, Some("192.0.2.9")),
            ("192.0.2.9", LOCAL, Some("192.0.2.9")),
            ("unix", b"", None),
            ("unix", NAMES_TRUSTED, None),
            ("unix", NAMES_UNTRUSTED, Some("203.0.113.5")),
            ("unix", UNKNOWN, None),
            ("unix", LOCAL, None),
        ] {
            let expected = client.map_or(believed.to_owned(), |client| format!("{client} false x None"));
            assert_eq!(
                seen(other_end, header, TRUSTED),
                expected,
                "{other_end} {}",
                header.escape_ascii()
            );
        }
    }

    #[test]
    fn an_empty_list_trusts_no_end_and_a_star_trusts_all() {
        for (other_end, header) in [
            ("10.0.0.1", &b""[..]),
            ("unix", b""),
            ("unix", LOCAL),
            ("10.0.0.1", LOCAL),
        ] {
            assert_eq!(seen(other_end, header, ""), format!("{other_end} false x None"));
        }
        assert_eq!(seen("unix", NAMES_TRUSTED, ""), "10.1.1.1 false x None");
        assert_eq!(seen("unix", b"", "unix"), "198.51.100.7 true shop Some(8443)");
        assert_eq!(seen("10.0.0.1", b"", "unix"), "10.0.0.1 false x None");
        assert_eq!(seen("unix", NAMES_UNTRUSTED, "*"), "198.51.100.7 true shop Some(8443)");
    }
}
