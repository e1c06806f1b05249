//! The PROXY protocol, versions 1 and 2: what a TCP proxy says of its client before the first byte of the connection
//! (`HAProxy`'s specification, "The PROXY protocol", 2020/03/05).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The first bytes of a binary header (§2.2).
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const BINARY_HEAD: usize = 16;
/// The longest header of version 1, with its line's end (§2.1).
const LINE_MOST: usize = 107;
/// More than any proxy sends: addresses, and what it says of TLS.
const BINARY_MOST: usize = 4096;

/// Which versions are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The line of text.
    One,
    /// The binary header.
    Two,
    /// Whichever comes.
    Both,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes.
    pub len: usize,
    /// Whom the proxy speaks for; none: itself (a health check), or a client that it does not know.
    pub source: Option<(IpAddr, u16)>,
}

/// Reads the header at the beginning of `bytes`. None: it goes on. A connection that begins otherwise is an error, since a
/// receiver must not guess (§2); bytes that can never become a header are refused at once. Errors are plain clauses for
/// the log.
pub fn read(bytes: &[u8], versions: Versions) -> Result<Option<Header>, &'static str> {
    let begun = bytes.len().min(SIGNATURE.len());
    if versions != Versions::One && bytes[..begun] == SIGNATURE[..begun] {
        return read_binary(bytes);
    }
    let begun = bytes.len().min(6);
    if versions != Versions::Two && bytes[..begun] == b"PROXY "[..begun] {
        return read_line(bytes);
    }
    Err("the connection does not begin with a PROXY protocol header")
}

fn read_line(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    const WRONG: &str = "the PROXY protocol header is malformed";
    let shown = &bytes[..bytes.len().min(LINE_MOST)];
    let end = shown.iter().take_while(|byte| (b' '..=b'~').contains(byte)).count();
    match shown[end..] {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] if shown.len() < LINE_MOST => return Ok(None),
        _ => return Err(WRONG),
    }
    let line = std::str::from_utf8(&shown[..end]).map_err(|_| WRONG)?;
    let words: Vec<&str> = line.split(' ').collect();
    let source = match words[..] {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, port, destination_port] => {
            let source: IpAddr = source.parse().map_err(|_| WRONG)?;
            let destination: IpAddr = destination.parse().map_err(|_| WRONG)?;
            destination_port.parse::<u16>().map_err(|_| WRONG)?;
            if source.is_ipv4() != (family == "TCP4") || destination.is_ipv4() != source.is_ipv4() {
                return Err(WRONG);
            }
            Some((source, port.parse().map_err(|_| WRONG)?))
        }
        _ => return Err(WRONG),
    };
    Ok(Some(Header { len: end + 2, source }))
}

fn read_binary(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    if bytes.get(12).is_some_and(|command| !matches!(command, 0x20 | 0x21)) {
        return Err("the PROXY protocol header has an unknown version or command");
    }
    let Some(head) = bytes.get(..BINARY_HEAD) else {
        return Ok(None);
    };
    let is_proxied = head[12] == 0x21;
    let needed = match head[13] {
        0x11 if is_proxied => 12,
        0x21 if is_proxied => 36,
        _ => 0,
    };
    let len = BINARY_HEAD + usize::from(u16::from_be_bytes([head[14], head[15]]));
    if len > BINARY_MOST {
        return Err("the PROXY protocol header is too long");
    }
    if len < BINARY_HEAD + needed {
        return Err("the PROXY protocol header is too short for its addresses");
    }
    let Some(rest) = bytes.get(BINARY_HEAD..len) else {
        return Ok(None);
    };
    // LOCAL, unix sockets, datagrams: the connection's own addresses count (§2.2).
    let source = match needed {
        12 => rest.first_chunk().map(|part: &[u8; 12]| {
            let address = Ipv4Addr::new(part[0], part[1], part[2], part[3]);
            (IpAddr::V4(address), u16::from_be_bytes([part[8], part[9]]))
        }),
        36 => rest.first_chunk().map(|part: &[u8; 36]| {
            let mut address = [0; 16];
            address.copy_from_slice(&part[..16]);
            (
                IpAddr::V6(Ipv6Addr::from(address)),
                u16::from_be_bytes([part[32], part[33]]),
            )
        }),
        _ => None,
    };
    Ok(Some(Header { len, source }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, port: u16) -> (IpAddr, u16) {
        (text.parse().expect("an address"), port)
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn lines() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n",
                Some(source("192.0.2.1", 56324)),
            ),
            (
                "PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n",
                Some(source("2001:db8::1", 1)),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ff:: ff:: 1 2\r\n", None),
        ] {
            let bytes = format!("{line}GET / HTTP/1.1\r\n");
            let found = read(bytes.as_bytes(), Versions::Both);
            assert_eq!(
                found,
                Ok(Some(Header {
                    len: line.len(),
                    source: expected
                })),
                "{line}"
            );
        }
    }

    #[test]
    fn binaries() {
        let four = [192, 0, 2, 1, 192, 0, 2, 2, 0x1f, 0x90, 1, 187, 4, 0, 0]; // and a TLV
        let found = read(&binary(0x21, 0x11, &four), Versions::Two);
        assert_eq!(
            found,
            Ok(Some(Header {
                len: 31,
                source: Some(source("192.0.2.1", 8080))
            }))
        );
        let mut six = [0; 36];
        six[15] = 1;
        six[33] = 7;
        let found = read(&binary(0x21, 0x21, &six), Versions::Both);
        assert_eq!(
            found.map(|header| header.map(|header| header.source)),
            Ok(Some(Some(source("::1", 7))))
        );
        for (command, family) in [(0x20, 0x11), (0x20, 0), (0x21, 0), (0x21, 0x31)] {
            let found = read(&binary(command, family, &[0; 216]), Versions::Both);
            assert_eq!(found, Ok(Some(Header { len: 232, source: None })));
        }
    }

    #[test]
    fn whatever_is_cut_goes_on() {
        let line = b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec();
        for whole in [line, binary(0x21, 0x11, &[1; 12])] {
            for end in 0..whole.len() {
                assert_eq!(read(&whole[..end], Versions::Both), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn what_can_never_become_a_header_is_refused_at_the_byte_that_says_so() {
        for (bytes, place) in [
            (b"PROXY TCP4 192.0.2.1\0 and on".to_vec(), 21),
            (b"PROXY TCP4 192.0.2.1\n and on".to_vec(), 21),
            (b"PROXY TCP4 192.0.2.1\r and on".to_vec(), 22),
            (b"PROXY TCP4 192.0.2.\xc3 and on".to_vec(), 20),
            ([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(), LINE_MOST),
            ([b"PROXY UNKNOWN ".as_slice(), &[b'x'; 92], b"\r\n"].concat(), LINE_MOST),
            (binary(0x31, 0x11, &[0; 12]), 13),
            (binary(0x21, 0x11, &[0; 11]), 16),
            (binary(0x21, 0x21, &[0; 35]), 16),
            (binary(0x20, 0, &[0; 5000]), 16),
        ] {
            let verdict = |len: usize| read(&bytes[..len], Versions::Both);
            assert_eq!(verdict(place - 1), Ok(None), "{bytes:?}");
            assert!((place..=bytes.len()).all(|len| verdict(len).is_err()), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_refused() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n".to_vec(),
            b"PROXY TCP4 ::1 ::2 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 192.0.2.2 66666 443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
            [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat(),
            binary(0x31, 0x11, &[0; 12]),
            binary(0x22, 0x11, &[0; 12]),
            binary(0x21, 0x11, &[0; 11]),
            binary(0x21, 0x21, &[0; 35]),
            binary(0x21, 0x11, &[0; 5000]),
        ] {
            assert!(read(&bytes, Versions::Both).is_err(), "{bytes:?}");
        }
        assert!(read(b"PROXY UNKNOWN\r\n", Versions::Two).is_err());
        assert!(read(&binary(0x20, 0, &[]), Versions::One).is_err());
    }
}
