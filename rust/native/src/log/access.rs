//! The access log's line: gunicorn's format atoms compiled once, or JSON.

use super::escape::json as json_text;
use super::stamp::Stamp;
use crate::core::Request;
use crate::sys::Peer;
use hostler_wire::escape::escape;
use hostler_wire::http1::Version;
use hostler_wire::percent;
use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;

/// What a line says of one request.
pub struct Entry<'a> {
    /// None: the request was refused before its head was understood.
    pub request: Option<&'a Request>,
    pub peer: Peer,
    pub status: u16,
    /// Body bytes of the answer.
    pub bytes: u64,
    /// The answer's header lines, for `%({name}o)s`.
    pub head: &'a [u8],
    pub duration_ns: u64,
    pub queue_ns: u64,
    /// Values of `AccessLog::variables`, in order.
    pub variables: &'a [Option<String>],
}

/// A rendered line whose answer is still being sent: a client that leaves turns its status into 499.
pub struct Pending {
    pub text: Vec<u8>,
    status_at: Option<usize>,
}

impl Pending {
    /// The client left before the end (nginx's status for it).
    pub fn client_left(&mut self) {
        if let Some(at) = self.status_at {
            self.text[at..at + 3].copy_from_slice(b"499");
        }
    }
}

enum Op {
    Text(Vec<u8>),
    Atom(Atom),
    RequestHeader(Vec<u8>),
    ResponseHeader(Vec<u8>),
    /// An index into `variables`.
    Variable(usize),
    /// A field of the JSON object, by its name; left out where there is no value.
    Field(String, Box<Op>),
    JsonEnd,
}

#[derive(Clone, Copy)]
enum Atom {
    Host,
    Dash,
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    Bytes,
    BytesOrDash,
    Referer,
    Agent,
    Seconds,
    Millis,
    Micros,
    DecimalSeconds,
    QueueSeconds,
    Pid,
    Json,
}

/// A compiled format.
pub struct AccessLog {
    ops: Vec<Op>,
    variables: Vec<String>,
}

impl AccessLog {
    /// Compiles gunicorn's `%(x)s` atoms, or `json`, which may have fields of its own behind it: `json name=%(x)s`.
    /// Unknown atoms are an error that names them.
    pub fn compile(format: &str) -> Result<Self, String> {
        let mut log = Self {
            ops: Vec::new(),
            variables: Vec::new(),
        };
        let mut words = format.split_ascii_whitespace();
        if words.next() == Some("json") {
            log.ops.push(Op::Atom(Atom::Json));
            for word in words {
                log.field(word)?;
            }
            log.ops.push(Op::JsonEnd);
            return Ok(log);
        }
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            log.text(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("%%") {
                log.text("%");
                rest = after;
                continue;
            }
            let unclosed = || format!("access_log_format: \"{rest}\" is not %(atom)s; write %% for a percent sign");
            let (atom, after) = rest
                .strip_prefix("%(")
                .and_then(|r| r.split_once(")s"))
                .ok_or_else(unclosed)?;
            let op = log
                .atom(atom)
                .ok_or_else(|| format!("access_log_format: unknown atom %({atom})s"))?;
            log.ops.push(op);
            rest = after;
        }
        log.text(rest);
        Ok(log)
    }

    /// The environ keys that the format asks for.
    pub fn variables(&self) -> &[String] {
        &self.variables
    }

    /// Whether the format asks for fields of the response.
    pub fn wants_response_fields(&self) -> bool {
        self.ops.iter().any(|op| match op {
            Op::ResponseHeader(_) | Op::Atom(Atom::Json) => true, // JSON has the response's X-Request-ID
            Op::Field(_, inner) => matches!(**inner, Op::ResponseHeader(_)),
            _ => false,
        })
    }

    /// Adds `name=%(atom)s`.
    fn field(&mut self, word: &str) -> Result<(), String> {
        let (name, op) = word
            .split_once('=')
            .and_then(|(name, value)| {
                let atom = value.strip_prefix("%(")?.strip_suffix(")s")?;
                Some((name, self.atom(atom)?))
            })
            .ok_or_else(|| format!("access_log_format: \"{word}\" is not name=%(atom)s"))?;
        self.ops.push(Op::Field(name.to_owned(), Box::new(op)));
        Ok(())
    }

    fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.ops.push(Op::Text(text.as_bytes().to_vec()));
        }
    }

    fn atom(&mut self, name: &str) -> Option<Op> {
        if let Some((inner, kind)) = name.strip_prefix('{').and_then(|r| r.split_once('}')) {
            return match kind {
                "i" => Some(Op::RequestHeader(inner.to_ascii_lowercase().into_bytes())),
                "o" => Some(Op::ResponseHeader(inner.to_ascii_lowercase().into_bytes())),
                "e" => {
                    self.variables.push(inner.to_owned());
                    Some(Op::Variable(self.variables.len() - 1))
                }
                _ => None,
            };
        }
        let atom = match name {
            "h" => Atom::Host,
            "l" => Atom::Dash,
            "u" => Atom::User,
            "t" => Atom::Time,
            "r" => Atom::RequestLine,
            "m" => Atom::Method,
            "U" => Atom::Path,
            "q" => Atom::Query,
            "H" => Atom::Protocol,
            "s" => Atom::Status,
            "B" => Atom::Bytes,
            "b" => Atom::BytesOrDash,
            "f" => Atom::Referer,
            "a" => Atom::Agent,
            "T" => Atom::Seconds,
            "M" => Atom::Millis,
            "D" => Atom::Micros,
            "L" => Atom::DecimalSeconds,
            "Q" => Atom::QueueSeconds,
            "p" => Atom::Pid,
            _ => return None,
        };
        Some(Op::Atom(atom))
    }

    /// Renders one line with its line end into `out.text` (cleared first).
    pub fn render(&self, entry: &Entry<'_>, stamp: &Stamp, out: &mut Pending) {
        out.text.clear();
        out.status_at = None;
        for op in &self.ops {
            match op {
                Op::Text(text) => out.text.extend_from_slice(text),
                Op::Atom(Atom::Json) => json(entry, stamp, out),
                Op::Atom(atom) => render_atom(*atom, entry, stamp, out),
                Op::RequestHeader(name) => {
                    or_dash(&mut out.text, entry.request.and_then(|request| request.header(name)));
                }
                Op::ResponseHeader(name) => or_dash(&mut out.text, response_header(entry.head, name)),
                Op::Variable(index) => {
                    let value = entry.variables.get(*index).and_then(|value| value.as_deref());
                    or_dash(&mut out.text, value.map(str::as_bytes));
                }
                Op::Field(name, inner) => field(name, inner, entry, stamp, &mut out.text),
                Op::JsonEnd => out.text.push(b'}'),
            }
        }
        out.text.push(b'\n');
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            text: Vec::with_capacity(256),
            status_at: None,
        }
    }
}

fn render_atom(atom: Atom, entry: &Entry<'_>, stamp: &Stamp, out: &mut Pending) {
    let text = &mut out.text;
    match atom {
        Atom::Host => host(entry.peer, text),
        Atom::Dash => text.push(b'-'),
        Atom::User => or_dash(text, entry.request.and_then(user).as_deref()),
        Atom::Time => text.extend_from_slice(&stamp.common),
        Atom::RequestLine => request_line(entry, text),
        Atom::Method => or_dash(text, entry.request.map(Request::method)),
        Atom::Path => or_dash(text, entry.request.map(path).as_deref()),
        Atom::Query => escape(
            entry
                .request
                .map_or(b"", |request| request.head.query.of(&request.buffer)),
            text,
        ),
        Atom::Protocol => text.extend_from_slice(protocol(entry)),
        Atom::Status => {
            out.status_at = Some(text.len());
            number(text, u64::from(entry.status));
        }
        Atom::Bytes => number(text, entry.bytes),
        Atom::BytesOrDash if entry.bytes == 0 => text.push(b'-'),
        Atom::BytesOrDash => number(text, entry.bytes),
        Atom::Referer => or_dash(text, entry.request.and_then(|request| request.header(b"referer"))),
        Atom::Agent => or_dash(text, entry.request.and_then(|request| request.header(b"user-agent"))),
        Atom::Seconds => number(text, entry.duration_ns / 1_000_000_000),
        Atom::Millis => number(text, entry.duration_ns / 1_000_000),
        Atom::Micros => number(text, entry.duration_ns / 1000),
        Atom::DecimalSeconds => seconds(text, entry.duration_ns),
        Atom::QueueSeconds => seconds(text, entry.queue_ns),
        Atom::Pid => {
            let _ = write!(text, "<{}>", std::process::id());
        }
        Atom::Json => {}
    }
}

fn host(peer: Peer, text: &mut Vec<u8>) {
    match peer {
        Peer::Ip(IpAddr::V4(ip), _) => {
            for (index, part) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    text.push(b'.');
                }
                number(text, part.into()); // a third of what formatting the address takes
            }
        }
        Peer::Ip(ip, _) => drop(write!(text, "{ip}")),
        Peer::Unix => text.push(b'-'),
    }
}

fn request_line(entry: &Entry<'_>, text: &mut Vec<u8>) {
    let Some(request) = entry.request else {
        return text.push(b'-');
    };
    escape(request.method(), text);
    text.push(b' ');
    escape(request.target(), text);
    text.push(b' ');
    text.extend_from_slice(protocol(entry));
}

fn protocol(entry: &Entry<'_>) -> &'static [u8] {
    match entry.request.map(|request| &request.head.version) {
        None => b"-",
        Some(Version::Http10) => b"HTTP/1.0",
        Some(Version::Http11) => b"HTTP/1.1",
    }
}

/// The path as the app sees it: decoded, as gunicorn logs it. `%(r)s` has it as it was sent.
fn path(request: &Request) -> Cow<'_, [u8]> {
    let raw = request.head.path.of(&request.buffer);
    if !raw.contains(&b'%') {
        return Cow::Borrowed(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    percent::decode(raw, &mut decoded);
    Cow::Owned(decoded)
}

/// The user's name in Basic credentials (RFC 7617).
fn user(request: &Request) -> Option<Vec<u8>> {
    let value = request.header(b"authorization")?;
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = base64(encoded.trim_ascii())?;
    let end = memchr::memchr(b':', &decoded)?;
    (end > 0).then(|| decoded[..end].to_vec())
}

/// Decodes padded or unpadded base64; None when a character does not belong.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for &byte in text.iter().take_while(|&&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

fn response_header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
        let (key, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

fn number(text: &mut Vec<u8>, value: u64) {
    text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn seconds(text: &mut Vec<u8>, nanoseconds: u64) {
    let micros = nanoseconds / 1000;
    let _ = write!(text, "{}.{:06}", micros / 1_000_000, micros % 1_000_000);
}

fn or_dash(text: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        None | Some(b"") => text.push(b'-'),
        Some(value) => escape(value, text),
    }
}

fn json(entry: &Entry<'_>, stamp: &Stamp, out: &mut Pending) {
    let text = &mut out.text;
    text.extend_from_slice(b"{\"time\":\"");
    stamp.iso_with_millis(text);
    text.extend_from_slice(b"\",\"remote_addr\":\"");
    host(entry.peer, text);
    text.push(b'"');
    if let Some(request) = entry.request {
        json_field(text, "method", request.method());
        json_field(text, "path", request.head.path.of(&request.buffer));
        json_field(text, "query", request.head.query.of(&request.buffer));
    }
    json_field(text, "protocol", protocol(entry));
    text.extend_from_slice(b",\"status\":");
    out.status_at = Some(text.len());
    number(text, u64::from(entry.status));
    let _ = write!(
        text,
        ",\"bytes\":{},\"duration_ms\":{}.{:03},\"duration_us\":{},\"queue_us\":{},\"pid\":{}",
        entry.bytes,
        entry.duration_ns / 1_000_000,
        entry.duration_ns / 1000 % 1000,
        entry.duration_ns / 1000,
        entry.queue_ns / 1000,
        std::process::id()
    );
    if let Some(request) = entry.request {
        for (name, header) in [
            ("host", &b"host"[..]),
            ("referer", b"referer"),
            ("user_agent", b"user-agent"),
        ] {
            if let Some(value) = request.header(header) {
                json_field(text, name, value);
            }
        }
    }
    let id = response_header(entry.head, b"x-request-id");
    if let Some(id) = id.or_else(|| entry.request?.header(b"x-request-id")) {
        json_field(text, "request_id", id);
    }
}

/// A field of one's own. Numbers are numbers.
fn field(name: &str, op: &Op, entry: &Entry<'_>, stamp: &Stamp, text: &mut Vec<u8>) {
    let rendered = |atom: Atom| {
        let mut out = Pending::default();
        render_atom(atom, entry, stamp, &mut out);
        out.text
    };
    match op {
        Op::RequestHeader(key) => {
            if let Some(value) = entry.request.and_then(|request| request.header(key)) {
                json_field(text, name, value);
            }
        }
        Op::ResponseHeader(key) => {
            if let Some(value) = response_header(entry.head, key) {
                json_field(text, name, value);
            }
        }
        Op::Variable(index) => {
            if let Some(value) = entry.variables.get(*index).and_then(|value| value.as_deref()) {
                json_field(text, name, value.as_bytes());
            }
        }
        Op::Atom(
            atom @ (Atom::Status
            | Atom::Bytes
            | Atom::Seconds
            | Atom::Millis
            | Atom::Micros
            | Atom::DecimalSeconds
            | Atom::QueueSeconds),
        ) => {
            let _ = write!(text, ",\"{name}\":");
            text.extend_from_slice(&rendered(*atom));
        }
        Op::Atom(atom) => json_field(text, name, &rendered(*atom)),
        Op::Text(_) | Op::Field(..) | Op::JsonEnd => {}
    }
}

fn json_field(text: &mut Vec<u8>, name: &str, value: &[u8]) {
    let _ = write!(text, ",\"{name}\":\"");
    json_text(text, value);
    text.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use hostler_wire::http1::{parse_head, Limits};

    fn request(raw: &[u8]) -> Request {
        let mut request = Request::default();
        request.buffer.extend_from_slice(raw);
        let limits = Limits {
            request_line: 8192,
            head: 32768,
            fields: 100,
            body: 1 << 30,
        };
        parse_head(&request.buffer, &limits, &mut request.head).expect("a valid head");
        request
    }

    fn line(format: &str, raw: &[u8]) -> String {
        let request = request(raw);
        let mut out = Pending::default();
        let entry = Entry {
            request: Some(&request),
            peer: Peer::Ip([127, 0, 0, 1].into(), 5),
            status: 200,
            bytes: 13,
            head: b"HTTP/1.1 200 OK\r\nX-Id:  7 \r\n",
            duration_ns: 1_234_567_890,
            queue_ns: 5000,
            variables: &[Some("a \"b\"".into())],
        };
        AccessLog::compile(format)
            .expect("a valid format")
            .render(&entry, &Stamp::default(), &mut out);
        String::from_utf8(out.text).expect("ASCII")
    }

    const RAW: &[u8] =
        b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: \"q\"\xff\r\nAuthorization: Basic amltOnB3\r\n\r\n";

    #[test]
    fn atoms() {
        let format = "%(h)s %(l)s %(u)s \"%(r)s\" %(m)s %(U)s %(q)s %(H)s %(s)s %(b)s %(B)s %(f)s %(a)s %%";
        let expected = "127.0.0.1 - jim \"GET /a?b=1 HTTP/1.1\" GET /a b=1 HTTP/1.1 200 13 13 - \\\"q\\\"\\xff %\n";
        assert_eq!(line(format, RAW), expected);
        assert_eq!(
            line("%(T)s %(M)s %(D)s %(L)s %(Q)s", RAW),
            "1 1234 1234567 1.234567 0.000005\n"
        );
        assert_eq!(
            line("%({host}i)s %({X-Id}o)s %({none}o)s %({V}e)s", RAW),
            "x 7 - a \\\"b\\\"\n"
        );
        let raw = b"GET /a%20b/%C3%A9%22%0A?c=%20 HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(line("%(U)s|%(q)s", raw), "/a b/\\xc3\\xa9\\\"\\x0a|c=%20\n");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = line("json", RAW);
        assert!(text.starts_with("{\"time\":\"") && text.ends_with("}\n"), "{text}");
        assert!(
            text.contains("\"path\":\"/a\",\"query\":\"b=1\"") && text.contains("\\\"q\\\"\u{fffd}"),
            "{text}"
        );
    }

    #[test]
    fn json_has_milliseconds_the_request_id_and_fields_of_ones_own() {
        let raw = b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-ID: a\"b\r\nX-User: me\r\n\r\n";
        let text = line(
            "json id=%({x-id}o)s user=%({X-User}i)s var=%({k}e)s no=%({x-no}i)s us=%(D)s agent=%(a)s",
            raw,
        );
        for part in [
            "\"duration_ms\":1234.567,\"duration_us\":1234567",
            ",\"request_id\":\"a\\\"b\",\"id\":\"7\",\"user\":\"me\",\"var\":\"a \\\"b\\\"\",\"us\":1234567,",
            "\"agent\":\"-\"}\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("\"no\""), "{text}");
        let mut stamp = Stamp::default();
        stamp.refresh();
        let mut time = Vec::new();
        stamp.iso_with_millis(&mut time);
        assert_eq!((time.len(), time[19]), (29, b'.'));
    }

    #[test]
    fn a_wrong_format_is_named() {
        assert_eq!(
            AccessLog::compile("json user").err().as_deref(),
            Some("access_log_format: \"user\" is not name=%(atom)s")
        );
        assert_eq!(
            AccessLog::compile("%(zz)s").err().as_deref(),
            Some("access_log_format: unknown atom %(zz)s")
        );
        assert!(AccessLog::compile("100%").is_err());
        assert!(AccessLog::compile("%({x}z)s").is_err());
    }

    #[test]
    fn a_client_that_left_becomes_499() {
        let request = request(RAW);
        let entry = Entry {
            request: Some(&request),
            peer: Peer::Unix,
            status: 200,
            bytes: 0,
            head: b"",
            duration_ns: 0,
            queue_ns: 0,
            variables: &[],
        };
        let mut out = Pending::default();
        AccessLog::compile("%(h)s %(s)s %(b)s")
            .expect("valid")
            .render(&entry, &Stamp::default(), &mut out);
        out.client_left();
        assert_eq!(out.text, b"- 499 -\n");
    }
}
