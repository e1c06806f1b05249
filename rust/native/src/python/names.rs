//! Python strings that are the same in request after request: header names as environ keys, and recent values.

use super::text::{latin1, latin1_bytes};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

/// How a field goes into the environ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Repeated fields are joined with a comma (RFC 9110 §5.3).
    Plain,
    /// Joined with "; " (RFC 6265 §5.4).
    Cookie,
    /// Not the app's business: chunks are decoded before it runs; `Proxy` would become `HTTP_PROXY`, which HTTP clients
    /// inside CGI-like apps take for configuration (CVE-2016-5385).
    Hidden,
}

/// One known field name.
pub struct Name {
    lower: Box<[u8]>,
    pub key: Py<PyString>,
    pub kind: Kind,
}

/// Slots of the name table; a power of two. Bits of a `u128` mark the ones a request has used.
const SLOTS: usize = 128;
/// Names remembered: attackers must not fill the table.
const MOST: usize = 96;
const LONGEST: usize = 40;

const COMMON: &[&str] = &[
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "accept-charset",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "dnt",
    "expect",
    "forwarded",
    "from",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "origin",
    "pragma",
    "priority",
    "proxy",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "upgrade-insecure-requests",
    "via",
    "x-csrftoken",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-requested-with",
];

/// Field names → environ keys.
pub struct Names {
    table: Vec<Option<Name>>,
    count: usize,
}

impl Names {
    pub fn new(py: Python<'_>) -> Self {
        let mut names = Self {
            table: (0..SLOTS).map(|_| None).collect(),
            count: 0,
        };
        for name in COMMON {
            names.insert(py, name.as_bytes());
        }
        names
    }

    /// The slot of a name, remembering it when there is room.
    pub fn find(&mut self, py: Python<'_>, name: &[u8]) -> Option<(usize, &Name)> {
        let mut slot = hash(name);
        while let Some(known) = &self.table[slot] {
            if known.lower.eq_ignore_ascii_case(name) {
                return self.table[slot].as_ref().map(|known| (slot, known));
            }
            slot = (slot + 1) % SLOTS;
        }
        if self.count >= MOST || name.len() > LONGEST {
            return None;
        }
        let slot = self.insert(py, name);
        self.table[slot].as_ref().map(|known| (slot, known))
    }

    fn insert(&mut self, py: Python<'_>, name: &[u8]) -> usize {
        let mut slot = hash(name);
        while self.table[slot].is_some() {
            slot = (slot + 1) % SLOTS;
        }
        let kind = match name.to_ascii_lowercase().as_slice() {
            b"cookie" => Kind::Cookie,
            b"transfer-encoding" | b"proxy" => Kind::Hidden,
            _ => Kind::Plain,
        };
        self.table[slot] = Some(Name {
            lower: name.to_ascii_lowercase().into(),
            key: environ_key(py, name),
            kind,
        });
        self.count += 1;
        slot
    }
}

fn hash(name: &[u8]) -> usize {
    let at = |index: usize| usize::from(name.get(index).copied().unwrap_or(0) | 0x20);
    let length = name.len();
    (length * 7 + at(0) * 3 + at(length / 2) * 31 + at(length.wrapping_sub(1)) * 17 + at(length.wrapping_sub(3)) * 5)
        % SLOTS
}

/// `HTTP_` and the name in capitals with underscores; Content-Type and Content-Length stand alone (RFC 3875 §4.1).
pub fn environ_key(py: Python<'_>, name: &[u8]) -> Py<PyString> {
    let mut key: Vec<u8> = match name.len() {
        12 if name.eq_ignore_ascii_case(b"content-type") => Vec::new(),
        14 if name.eq_ignore_ascii_case(b"content-length") => Vec::new(),
        _ => b"HTTP_".to_vec(),
    };
    key.extend(
        name.iter()
            .map(|&byte| if byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }),
    );
    latin1(py, &key).unbind()
}

/// Places for recent values; a power of two.
const VALUES: usize = 128;
/// Longer values are not remembered.
const LONGEST_VALUE: usize = 192;

/// Recent values: clients repeat themselves, and comparing is cheaper than making a string.
pub struct Values(Vec<Option<Py<PyString>>>);

impl Values {
    pub fn new() -> Self {
        Self((0..VALUES).map(|_| None).collect())
    }

    /// A `str` of these latin-1 bytes.
    pub fn text<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
        if bytes.len() > LONGEST_VALUE || bytes.is_empty() {
            return latin1(py, bytes);
        }
        let place = &mut self.0[spread(bytes)];
        if let Some(known) = place {
            let known = known.bind(py);
            if latin1_bytes(known) == Some(bytes) {
                return known.clone();
            }
        }
        let text = latin1(py, bytes);
        *place = Some(text.clone().unbind());
        text
    }
}

/// A place from the length and the first, middle and last bytes.
fn spread(bytes: &[u8]) -> usize {
    let word = |from: usize| {
        let mut word = [0u8; 4];
        let part = &bytes[from..(from + 4).min(bytes.len())];
        word[..part.len()].copy_from_slice(part);
        u32::from_le_bytes(word)
    };
    let length = bytes.len();
    let mixed =
        word(0) ^ word(length.saturating_sub(4)).rotate_left(11) ^ word(length / 2).rotate_left(21) ^ length as u32;
    (mixed.wrapping_mul(0x9E37_79B1) >> 25) as usize % VALUES
}

/// Recent bytes objects, as `Values`.
pub struct Bytes(Vec<Option<Py<PyBytes>>>);

impl Bytes {
    pub fn new() -> Self {
        Self((0..VALUES).map(|_| None).collect())
    }

    /// A `bytes` of these.
    pub fn get<'py>(&mut self, py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyBytes> {
        if bytes.len() > LONGEST_VALUE || bytes.is_empty() {
            return PyBytes::new(py, bytes);
        }
        let place = &mut self.0[spread(bytes)];
        if let Some(known) = place {
            let known = known.bind(py);
            if known.as_bytes() == bytes {
                return known.clone();
            }
        }
        let object = PyBytes::new(py, bytes);
        *place = Some(object.clone().unbind());
        object
    }
}

/// A header name of ASGI, and the pair it was last seen in.
struct Known {
    name: Py<PyBytes>,
    last: Option<(Py<PyBytes>, Py<PyTuple>)>,
}

/// Header fields as ASGI's pairs: names in lower case made once, and whole pairs as long as a client repeats itself.
pub struct Pairs {
    table: Vec<Option<Known>>,
    count: usize,
}

impl Pairs {
    pub fn new(py: Python<'_>) -> Self {
        let mut pairs = Self {
            table: (0..SLOTS).map(|_| None).collect(),
            count: 0,
        };
        for name in COMMON {
            pairs.slot(py, name.as_bytes());
        }
        pairs
    }

    /// `(name, value)`.
    pub fn get<'py>(&mut self, py: Python<'py>, name: &[u8], value: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
        let Some(slot) = self.slot(py, name) else {
            return PyTuple::new(
                py,
                [PyBytes::new(py, &name.to_ascii_lowercase()), PyBytes::new(py, value)],
            );
        };
        let Some(known) = &mut self.table[slot] else {
            return PyTuple::new(py, [PyBytes::new(py, name), PyBytes::new(py, value)]);
        };
        if let Some((last, pair)) = &known.last {
            if last.bind(py).as_bytes() == value {
                return Ok(pair.bind(py).clone());
            }
        }
        let object = PyBytes::new(py, value);
        let pair = PyTuple::new(py, [known.name.bind(py), &object])?;
        if value.len() <= LONGEST_VALUE {
            known.last = Some((object.unbind(), pair.clone().unbind()));
        }
        Ok(pair)
    }

    /// The slot of a name, remembering it when there is room.
    fn slot(&mut self, py: Python<'_>, name: &[u8]) -> Option<usize> {
        let mut slot = hash(name);
        while let Some(known) = &self.table[slot] {
            if known.name.bind(py).as_bytes().eq_ignore_ascii_case(name) {
                return Some(slot);
            }
            slot = (slot + 1) % SLOTS;
        }
        if self.count >= MOST || name.len() > LONGEST {
            return None;
        }
        self.table[slot] = Some(Known {
            name: PyBytes::new(py, &name.to_ascii_lowercase()).unbind(),
            last: None,
        });
        self.count += 1;
        Some(slot)
    }
}
