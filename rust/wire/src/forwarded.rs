//! What proxies say of a request: Forwarded (RFC 7239), or the X-Forwarded fields that came before it.
//!
//! Each proxy appends what it saw. So the lists are read from the right, as long as those who spoke are trusted: whatever
//! stands left of the first stranger may be of its making.

use crate::http1::is_host;
use std::net::{IpAddr, Ipv6Addr};

/// What stands before the IPv4 address in `::ffff:192.0.2.1` (RFC 4291 §2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// Addresses and networks, and the ends of unix sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks {
    all: bool,
    unix: bool,
    /// Each with the number of bits that count. IPv4 stands as such.
    list: Vec<(IpAddr, u8)>,
}

impl Networks {
    /// Reads `127.0.0.1,10.0.0.0/8,::1`, or `*` for all; `unix` for ends without an address. The error names the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut networks = Self {
            all: false,
            unix: false,
            list: Vec::new(),
        };
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if word == "*" {
                networks.all = true;
                continue;
            }
            if word == "unix" {
                networks.unix = true;
                continue;
            }
            let wrong = || format!("{word:?} is not an address or a network");
            let (address, bits) = word
                .split_once('/')
                .map_or((word, None), |(address, bits)| (address, Some(bits)));
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = match bits {
                None => most,
                Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            };
            networks.list.push(match address {
                IpAddr::V6(mapped) if bits >= MAPPED_BITS => match mapped.to_ipv4_mapped() {
                    Some(address) => (IpAddr::V4(address), bits - MAPPED_BITS),
                    None => (IpAddr::V6(mapped), bits),
                },
                address => (address, bits),
            });
        }
        Ok(networks)
    }

    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        !self.all && !self.unix && self.list.is_empty()
    }

    /// Whether the address is in one of them. An IPv4 address in IPv6 clothes is one of IPv4.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.all
            || self.list.iter().any(|(network, bits)| {
                network.is_ipv4() == ip.is_ipv4() && shared_bits(*network, ip) >= u32::from(*bits)
            })
    }
}

/// How many of the first bits are the same.
fn shared_bits(one: IpAddr, other: IpAddr) -> u32 {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => 0,
    }
}

/// What they say, as far as it can be believed and understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// Who asked; port 0: not known.
    pub client: Option<(IpAddr, u16)>,
    /// Whether they were asked by https.
    pub https: Option<bool>,
    /// The Host that they were asked for.
    pub host: Option<&'a [u8]>,
    /// The port that they were asked at.
    pub port: Option<u16>,
}

/// Which fields are believed. One family only: a proxy that writes one passes the other on as the client sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believed {
    /// X-Forwarded-For and X-Forwarded-Proto, which nearly every proxy sets.
    Usual,
    /// X-Forwarded-Proto alone: the client is whoever connected.
    Scheme,
    /// X-Forwarded-Host and X-Forwarded-Port too: only where the proxy sets or removes them.
    All,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// Whether a field is one of those that are read here; cheap enough to ask of every field.
pub fn is_field(name: &[u8]) -> bool {
    match name.len() {
        9 => name.eq_ignore_ascii_case(b"forwarded"),
        15 => name.eq_ignore_ascii_case(b"x-forwarded-for"),
        16 => name.eq_ignore_ascii_case(b"x-forwarded-host") || name.eq_ignore_ascii_case(b"x-forwarded-port"),
        17 => name.eq_ignore_ascii_case(b"x-forwarded-proto"),
        _ => false,
    }
}

/// Reads the fields of a request whose sender is trusted.
#[allow(clippy::needless_pass_by_value)] // iterators are passed like this
pub fn read<'a>(
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    trusted: &Networks,
    believed: Believed,
) -> Forwarded<'a> {
    let values = |name: &'static [u8]| {
        fields
            .clone()
            .filter(move |(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    // A quote means nothing in these: nobody but `Forwarded` has quoted strings.
    let items = |name| {
        values(name)
            .flat_map(|value| value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii))
            .filter(|item| !item.is_empty())
            .collect::<Vec<_>>()
    };
    if believed == Believed::Forwarded {
        let elements: Vec<_> = values(b"forwarded")
            .flat_map(|value| split_outside_quotes(value, b','))
            .collect();
        return from_elements(&elements, trusted);
    }
    let all = believed == Believed::All;
    let last = |name| items(name).last().copied();
    let https = last(b"x-forwarded-proto").and_then(scheme);
    if believed == Believed::Scheme {
        return Forwarded {
            https,
            ..Forwarded::default()
        };
    }
    Forwarded {
        client: walk(items(b"x-forwarded-for").iter().rev().map(|item| node(item)), trusted),
        https,
        host: last(b"x-forwarded-host").filter(|host| all && !host.is_empty() && is_host(host)),
        port: last(b"x-forwarded-port").and_then(port).filter(|_| all),
    }
}

/// RFC 7239 §4: the element of the last trusted proxy tells how it was asked.
fn from_elements<'a>(elements: &[&'a [u8]], trusted: &Networks) -> Forwarded<'a> {
    let nodes = elements.iter().rev().map(|element| node(parameter(element, b"for")?));
    let nearest = elements.last().copied().unwrap_or_default();
    Forwarded {
        client: walk(nodes, trusted),
        https: parameter(nearest, b"proto").and_then(scheme),
        host: parameter(nearest, b"host").filter(|host| !host.is_empty() && is_host(host)),
        port: None,
    }
}

/// The value of a parameter. An element that is not well-formed has none: its other parts are no better than the bad one.
fn parameter<'a>(element: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    for pair in split_outside_quotes(element, b';') {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        let value = unquoted(pair[at + 1..].trim_ascii())?;
        if pair[..at].trim_ascii().eq_ignore_ascii_case(wanted) {
            found = found.or(Some(value));
        }
    }
    found
}

/// The first stranger from the right; when all are trusted, the last one. What cannot be read ends the walk.
fn walk(nodes: impl Iterator<Item = Option<(IpAddr, u16)>>, trusted: &Networks) -> Option<(IpAddr, u16)> {
    let mut client = None;
    for node in nodes {
        let Some(node) = node else { break };
        client = Some(node);
        if !trusted.contains(node.0) {
            break; // who trusts everybody gets the first of the list, whoever wrote it
        }
    }
    client
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `[2001:db8::1]:80`, `2001:db8::1`.
fn node(text: &[u8]) -> Option<(IpAddr, u16)> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let number = match rest.strip_prefix(':') {
            Some(number) => port(number.as_bytes()).unwrap_or(0), // an obfuscated port says nothing (RFC 7239 §6.2)
            None if rest.is_empty() => 0,
            None => return None,
        };
        return Some((IpAddr::V6(address).to_canonical(), number));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_canonical(), 0));
    }
    let (address, number) = text.rsplit_once(':')?;
    Some((IpAddr::V4(address.parse().ok()?), port(number.as_bytes()).unwrap_or(0)))
}

fn scheme(text: &[u8]) -> Option<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"https" | b"wss" => Some(true),
        b"http" | b"ws" => Some(false),
        _ => None,
    }
}

fn port(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?; // Rust would read it
    text.parse().ok().filter(|&port| port != 0)
}

/// A value without its quotes; None when they do not match. Escapes stay: no address, scheme or host has any.
fn unquoted(text: &[u8]) -> Option<&[u8]> {
    let [b'"', inner @ .., b'"'] = text else {
        return (!text.contains(&b'"')).then_some(text);
    };
    let last = text.len() - 1;
    (1..text.len())
        .filter(|&at| text[at] == b'"')
        .all(|at| is_escaped(text, at) == (at < last))
        .then_some(inner)
}

/// The parts of a list, trimmed; a separator inside a quoted string is none.
///
/// Read from the right: proxies append to the line that the client sent, and a quote that it left open must not swallow
/// what they say.
fn split_outside_quotes(value: &[u8], separator: u8) -> Vec<&[u8]> {
    let mut quoted = false;
    let mut parts = Vec::new();
    let mut end = value.len();
    for (at, &byte) in value.iter().enumerate().rev() {
        quoted ^= byte == b'"' && !is_escaped(value, at);
        if byte == separator && !quoted {
            parts.push(value[at + 1..end].trim_ascii());
            end = at;
        }
    }
    parts.push(value[..end].trim_ascii());
    parts.retain(|part| !part.is_empty());
    parts.reverse();
    parts
}

/// Whether an odd number of backslashes stands before it (quoted-pair, RFC 9110 §5.6.4).
fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count() % 2 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all<'a>(fields: &[(&'a str, &'a str)], trusted: &str) -> Forwarded<'a> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let is_rfc = fields.clone().any(|(name, _)| name == b"Forwarded");
        let believed = if is_rfc { Believed::Forwarded } else { Believed::All };
        read(fields, &Networks::parse(trusted).expect("networks"), believed)
    }

    fn client(fields: &[(&str, &str)], trusted: &str) -> Option<String> {
        let (ip, port) = read_all(fields, trusted).client?;
        Some(if port == 0 {
            ip.to_string()
        } else {
            format!("{ip} {port}")
        })
    }

    #[test]
    fn networks() {
        let networks = Networks::parse("127.0.0.1, 10.0.0.0/8,2001:db8::/32").expect("networks");
        for (ip, inside) in [
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("::ffff:10.1.1.1", true),
            ("2001:db8:1::", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(networks.contains(ip.parse().expect("an address")), inside, "{ip}");
        }
        assert!(Networks::parse("*")
            .expect("all")
            .contains("192.0.2.1".parse().expect("an address")));
        let mapped = Networks::parse("::ffff:10.0.0.0/104, ::ffff:192.0.2.1").expect("networks");
        for (ip, inside) in [("10.1.1.1", true), ("192.0.2.1", true), ("192.0.2.2", false)] {
            assert_eq!(mapped.contains(ip.parse().expect("an address")), inside, "{ip}");
        }
        assert!(Networks::parse(" ").expect("none").is_empty());
        let unix = Networks::parse("unix").expect("unix sockets alone");
        assert!(!unix.is_empty() && !unix.contains("127.0.0.1".parse().expect("an address")));
        for bad in ["x", "10.0.0.0/33", "1.2.3", "::/129", "10.0.0.0/"] {
            assert!(Networks::parse(bad).is_err_and(|said| said.contains(bad)), "{bad}");
        }
    }

    #[test]
    fn the_client_is_the_first_stranger_from_the_right() {
        for (value, trusted, expected) in [
            ("192.0.2.1", "127.0.0.1", Some("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1", "127.0.0.1", Some("192.0.2.1")), // what it sent itself does not count
            ("192.0.2.1, 10.0.0.2", "10.0.0.0/8", Some("192.0.2.1")),
            ("10.0.0.1, 10.0.0.2", "10.0.0.0/8", Some("10.0.0.1")),
            ("192.0.2.1, junk, 10.0.0.2", "10.0.0.0/8", Some("10.0.0.2")),
            ("junk", "10.0.0.0/8", None),
            ("", "10.0.0.0/8", None),
            ("192.0.2.1, 192.0.2.2", "*", Some("192.0.2.1")),
            ("192.0.2.1:8080", "127.0.0.1", Some("192.0.2.1 8080")),
            ("[2001:db8::1]:8080", "127.0.0.1", Some("2001:db8::1 8080")),
            ("2001:db8::1", "127.0.0.1", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", "127.0.0.1", Some("192.0.2.1")),
        ] {
            assert_eq!(
                client(&[("X-Forwarded-For", value)], trusted).as_deref(),
                expected,
                "{value}"
            );
        }
        let two = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&two, "127.0.0.1").as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn the_nearest_proxy_tells_how_it_was_asked() {
        let said = read_all(
            &[
                ("X-Forwarded-Proto", "http, https"),
                ("X-Forwarded-Host", "a.example, b.example:8443"),
                ("X-Forwarded-Port", "8443"),
            ],
            "127.0.0.1",
        );
        assert_eq!(
            (said.https, said.host, said.port),
            (Some(true), Some(&b"b.example:8443"[..]), Some(8443))
        );
        let nonsense = read_all(
            &[
                ("X-Forwarded-Proto", "gopher"),
                ("X-Forwarded-Host", "a b"),
                ("X-Forwarded-Port", "70000"),
            ],
            "127.0.0.1",
        );
        assert_eq!(nonsense, Forwarded::default());
    }

    #[test]
    fn only_one_family_is_believed() {
        let fields = [
            (&b"forwarded"[..], &b"for=6.6.6.6;proto=https;host=evil.example"[..]),
            (b"x-forwarded-for", b"192.0.2.1"),
            (b"x-forwarded-host", b"evil.example"),
            (b"x-forwarded-port", b"99"),
        ];
        let trusted = Networks::parse("127.0.0.1").expect("networks");
        let usual = read(fields.iter().copied(), &trusted, Believed::Usual);
        let client = Some(("192.0.2.1".parse().expect("an address"), 0));
        assert_eq!(
            (usual.client, usual.https, usual.host, usual.port),
            (client, None, None, None)
        );
        let rfc = read(fields.iter().copied(), &trusted, Believed::Forwarded);
        assert_eq!(rfc.client, Some(("6.6.6.6".parse().expect("an address"), 0)));
        let none = read(fields[1..].iter().copied(), &trusted, Believed::Forwarded);
        assert_eq!(none, Forwarded::default());
    }

    #[test]
    fn forwarded() {
        let fields = [
            (
                "Forwarded",
                "for=6.6.6.6;proto=http, for=\"[2001:db8::7]:99\";proto=https;host=\"b.example\"",
            ),
            ("X-Forwarded-For", "7.7.7.7"),
        ];
        assert_eq!(client(&fields, "127.0.0.1").as_deref(), Some("2001:db8::7 99"));
        let said = read_all(&fields, "127.0.0.1");
        assert_eq!((said.https, said.host), (Some(true), Some(&b"b.example"[..])));
        for hidden in ["for=unknown", "for=_secret", "for=\"_a,b\", for=_x"] {
            assert_eq!(client(&[("Forwarded", hidden)], "127.0.0.1"), None, "{hidden}");
        }
        assert_eq!(
            client(&[("Forwarded", "For=\"192.0.2.43:_p\"")], "127.0.0.1").as_deref(),
            Some("192.0.2.43")
        );
    }

    #[test]
    fn what_a_client_left_open_hides_nothing() {
        // A proxy appended ", " and the rest to the line that the client had sent, as nginx does with
        // $proxy_add_x_forwarded_for.
        for sent in [
            "\"",
            "\"6.6.6.6",
            "6.6.6.6, \"",
            "for=\"",
            "for=6.6.6.6;x=\"",
            "for=\"a\\\"",
            "for=6.6.6.6, for=\"\\",
            "for=\"6.6.6.6\";\"",
        ] {
            for (name, appended) in [
                ("X-Forwarded-For", "192.0.2.1"),
                ("Forwarded", "for=192.0.2.1;proto=https"),
                ("Forwarded", "for=\"192.0.2.1\";proto=\"https\""),
            ] {
                let line = format!("{sent}, {appended}");
                assert_eq!(
                    client(&[(name, &line)], "127.0.0.1").as_deref(),
                    Some("192.0.2.1"),
                    "{name}: {line}"
                );
                // One more proxy of ours: the walk goes on to what the first one saw, and no further.
                let line = format!(
                    "{line}, {}",
                    if name == "Forwarded" {
                        "for=10.0.0.1"
                    } else {
                        "10.0.0.1"
                    }
                );
                assert_eq!(
                    client(&[(name, &line)], "10.0.0.0/8").as_deref(),
                    Some("192.0.2.1"),
                    "{name}: {line}"
                );
            }
        }
        let said = read_all(
            &[
                ("X-Forwarded-Proto", "\", https"),
                ("X-Forwarded-Host", "\", a.example"),
            ],
            "*",
        );
        assert_eq!((said.https, said.host), (Some(true), Some(&b"a.example"[..])));
    }

    #[test]
    fn malformed_elements_say_nothing() {
        for element in [
            "for=192.0.2.1;x=\"",
            "for=192.0.2.1;x",
            "for=\"192.0.2.1",
            "for=192.0.2.1\"",
            "for=\"192.0.2.1\\\"",
            "for=\"192\"0.2.1\"",
            "proto=https",
        ] {
            assert_eq!(client(&[("Forwarded", element)], "127.0.0.1"), None, "{element}");
            let trusted = format!("{element}, for=10.0.0.1");
            assert_eq!(
                client(&[("Forwarded", &trusted)], "10.0.0.0/8").as_deref(),
                Some("10.0.0.1"),
                "{trusted}"
            );
        }
        assert_eq!(
            read_all(&[("Forwarded", "proto=https;host=a.example;x=\"")], "*"),
            Forwarded::default()
        );
        let quoted = [("Forwarded", "x=\"a\\\", b;c\";for=192.0.2.1")];
        assert_eq!(
            client(&quoted, "127.0.0.1").as_deref(),
            Some("192.0.2.1"),
            "separators in quotes"
        );
        for port in ["+80", "0", "65536", "8x", ""] {
            assert_eq!(read_all(&[("X-Forwarded-Port", port)], "*").port, None, "{port}");
        }
    }
}
