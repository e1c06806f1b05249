//! What is said of a connection that is handed over, as bytes. Written and read by workers of one server only.

use super::conn::Conn;
use super::transfer::{Carried, Transfer, CARRIED};
use crate::sys::Peer;
use std::net::IpAddr;

/// What is said of a connection on its way.
pub(super) struct Envelope {
    pub listener: u8,
    pub introduced: bool,
    pub hops: u8,
    pub family: u32,
    pub served: u32,
    /// As in `Conn`.
    pub since: u64,
    /// When its request was read whole, where there is one (monotonic ns, the same in all processes).
    pub waits_since: u64,
    pub peer: Peer,
    /// What the bytes behind it are.
    pub carried: Carried,
    /// They are in a file, the last descriptor of the packet.
    pub is_outside: bool,
}

const PEER: usize = 19;
pub(super) const ENVELOPE: usize = 3 + 4 + 4 + 8 + 8 + PEER + CARRIED + 1;

fn pack_peer(peer: Peer) -> [u8; PEER] {
    let mut packed = [0; PEER];
    let (kind, port) = match peer {
        Peer::Unix => (0, 0),
        Peer::Ip(IpAddr::V4(ip), port) => {
            packed[1..5].copy_from_slice(&ip.octets());
            (4, port)
        }
        Peer::Ip(IpAddr::V6(ip), port) => {
            packed[1..17].copy_from_slice(&ip.octets());
            (6, port)
        }
    };
    packed[0] = kind;
    packed[17..].copy_from_slice(&port.to_ne_bytes());
    packed
}

/// Takes `N` bytes off the front.
fn front<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

fn read_peer(bytes: &mut &[u8]) -> Option<Peer> {
    let [kind] = front(bytes)?;
    let address: [u8; 16] = front(bytes)?;
    let port = u16::from_ne_bytes(front(bytes)?);
    Some(match kind {
        4 => Peer::Ip(IpAddr::from([address[0], address[1], address[2], address[3]]), port),
        6 => Peer::Ip(IpAddr::from(address), port),
        _ => Peer::Unix,
    })
}

impl Envelope {
    pub(super) fn of(conn: &Conn, family: u32, waits_since: u64, transfer: &Transfer<'_>) -> Self {
        Self {
            listener: conn.listener,
            introduced: conn.introduced,
            hops: conn.hops,
            family,
            served: conn.served,
            since: conn.since,
            waits_since,
            peer: conn.peer,
            carried: transfer.carried,
            is_outside: transfer.is_outside(),
        }
    }

    pub(super) fn pack(&self) -> [u8; ENVELOPE] {
        let mut packed = [0; ENVELOPE];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            packed[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&[self.listener, u8::from(self.introduced), self.hops]);
        put(&self.family.to_ne_bytes());
        put(&self.served.to_ne_bytes());
        put(&self.since.to_ne_bytes());
        put(&self.waits_since.to_ne_bytes());
        put(&pack_peer(self.peer));
        put(&self.carried.pack());
        put(&[u8::from(self.is_outside)]);
        packed
    }

    /// Reads one off the front of `bytes`.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let [listener, introduced, hops] = front(bytes)?;
        Some(Self {
            listener,
            introduced: introduced != 0,
            hops,
            family: u32::from_ne_bytes(front(bytes)?),
            served: u32::from_ne_bytes(front(bytes)?),
            since: u64::from_ne_bytes(front(bytes)?),
            waits_since: u64::from_ne_bytes(front(bytes)?),
            peer: read_peer(bytes)?,
            carried: Carried::read(front(bytes)?)?,
            is_outside: front(bytes)? != [0],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read() {
        let v6 = Peer::Ip("2001:db8::7".parse().expect("an address"), 65535);
        let v4 = Peer::Ip("192.0.2.1".parse().expect("an address"), 443);
        let whole = Carried::Whole { head: 70_000, body: 17 };
        let in_file = Carried::InFile { head: 9, body: 1 << 40 };
        for (peer, carried) in [(v4, Carried::Unread), (v6, whole), (Peer::Unix, in_file)] {
            let envelope = Envelope {
                listener: 3,
                introduced: true,
                hops: 2,
                family: 0xdead_beef,
                served: 70_000,
                since: 1 << 60,
                waits_since: 17,
                peer,
                carried,
                is_outside: carried == in_file,
            };
            let packed = envelope.pack();
            let mut bytes = &[&packed[..], b"GET /"].concat()[..];
            let read = Envelope::read(&mut bytes).expect("an envelope");
            assert_eq!(bytes, b"GET /");
            assert_eq!(read.pack(), packed);
            assert_eq!((read.peer, read.carried), (peer, carried));
            assert_eq!(read.is_outside, envelope.is_outside);
            assert!(Envelope::read(&mut &packed[1..]).is_none());
        }
    }
}
