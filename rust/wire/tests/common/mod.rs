//! Feeds a stream to the parser as a connection does, cut into pieces, and says what was understood of it.
//!
//! Shared by the tests and by the fuzz target.

use hostler_wire::http1::{parse_head, BodyDecoder, Framing, Head, Limits, Reject};

/// The defaults of the server's options; the vectors are written for them.
#[allow(dead_code)]
pub const LIMITS: Limits = Limits {
    request_line: 8 << 10,
    head: 32 << 10,
    fields: 100,
    body: 1 << 30,
};

/// A request as it was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub path: Vec<u8>,
    pub query: Vec<u8>,
    pub host: Option<Vec<u8>>,
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub flags: String,
    pub body: Vec<u8>,
}

impl Request {
    fn new(head: &Head, buf: &[u8]) -> Self {
        let field = |field: &hostler_wire::http1::Field| (field.name.of(buf).to_vec(), field.value.of(buf).to_vec());
        Self {
            method: head.method.of(buf).to_vec(),
            target: head.target.of(buf).to_vec(),
            path: head.path.of(buf).to_vec(),
            query: head.query.of(buf).to_vec(),
            host: head.host.map(|host| host.of(buf).to_vec()),
            fields: head.fields.iter().map(field).collect(),
            flags: format!(
                "{:?} {:?} keep_alive={} expect_continue={} len={}",
                head.version, head.framing, head.keep_alive, head.expect_continue, head.len
            ),
            body: Vec::new(),
        }
    }
}

/// Where a stream ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Between two requests, or behind one that closes the connection.
    #[default]
    Boundary,
    /// Inside a request.
    Inside,
    Refused(Reject),
}

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub requests: Vec<Request>,
    /// The request whose body was being read when the stream ended.
    pub unfinished: Option<Request>,
    pub end: End,
}

/// How counted bodies are read: through the decoder, or straight into place as the server does with large ones.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    Step,
    #[allow(dead_code)]
    Advance,
}

/// Feeds the pieces one after the other.
pub fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits, counted: Counted) -> Outcome {
    let mut connection = Connection::new(limits, counted);
    for piece in pieces {
        connection.buf.extend_from_slice(piece);
        while connection.outcome.end == End::Boundary && !connection.closed {
            match connection.advance() {
                Ok(true) => {}
                Ok(false) => break,
                Err(reject) => connection.outcome.end = End::Refused(reject),
            }
        }
    }
    connection.finish()
}

struct Connection<'a> {
    limits: &'a Limits,
    counted: Counted,
    /// What was received and is not consumed.
    buf: Vec<u8>,
    head: Head,
    body: Option<BodyDecoder>,
    closed: bool,
    outcome: Outcome,
}

impl<'a> Connection<'a> {
    fn new(limits: &'a Limits, counted: Counted) -> Self {
        Self {
            limits,
            counted,
            buf: Vec::new(),
            head: Head::new(),
            body: None,
            closed: false,
            outcome: Outcome::default(),
        }
    }

    /// One head or one step of a body; false when more bytes are needed.
    fn advance(&mut self) -> Result<bool, Reject> {
        let Some(body) = &mut self.body else {
            return self.read_head();
        };
        let request = self.outcome.unfinished.as_mut().expect("a body belongs to a request");
        match body.remaining() {
            Some(left) if left > 0 && self.counted == Counted::Advance => {
                let taken = self.buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                request.body.extend(self.buf.drain(..taken));
                body.advance(taken as u64);
                assert_eq!(body.remaining(), Some(left - taken as u64));
            }
            _ => {
                let step = body.step(&self.buf)?;
                assert!(step.data.start <= step.data.end && step.data.end <= step.consumed);
                assert!(step.consumed > 0 || self.buf.is_empty() || step.done, "no progress");
                assert_eq!(step.done, body.is_done());
                request.body.extend_from_slice(&self.buf[step.data]);
                self.buf.drain(..step.consumed);
            }
        }
        assert!(request.body.len() as u64 <= self.limits.body);
        if body.is_done() {
            self.body = None;
            self.closed = !self.head.keep_alive;
            self.outcome.requests.extend(self.outcome.unfinished.take());
        }
        Ok(!self.buf.is_empty())
    }

    fn read_head(&mut self) -> Result<bool, Reject> {
        if !parse_head(&self.buf, self.limits, &mut self.head)? {
            return Ok(false);
        }
        check_head(&self.head, &self.buf, self.limits);
        self.outcome.unfinished = Some(Request::new(&self.head, &self.buf));
        self.buf.drain(..self.head.len);
        self.body = Some(BodyDecoder::new(self.head.framing, self.limits)?);
        Ok(true)
    }

    fn finish(mut self) -> Outcome {
        let inside = self.body.is_some() || !(self.buf.is_empty() || self.closed);
        if self.outcome.end == End::Boundary && inside {
            self.outcome.end = End::Inside;
            if self.body.is_none() {
                assert_possible(&self.buf);
            }
        }
        self.outcome
    }
}

/// Of a head that is waited for: its bytes can stand in a head, as far as bytes alone can tell.
fn assert_possible(buf: &[u8]) {
    assert!(!buf.contains(&0), "a NUL");
    for (at, &byte) in buf.iter().enumerate() {
        assert!(byte != b'\n' || at > 0 && buf[at - 1] == b'\r', "a bare LF");
        assert!(
            byte != b'\r' || buf.get(at + 1).is_none_or(|&next| next == b'\n'),
            "a bare CR"
        );
        assert!(
            byte != b'\n' || !matches!(buf.get(at + 1), Some(b' ' | b'\t')),
            "a folded line"
        );
    }
}

/// What the rest of the server relies on, whatever the bytes were.
fn check_head(head: &Head, buf: &[u8], limits: &Limits) {
    let control = |bytes: &[u8]| bytes.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f);
    assert!(head.len <= limits.head && head.len <= buf.len() && buf[..head.len].ends_with(b"\r\n\r\n"));
    assert!(head.target.end as usize <= limits.request_line);
    assert!(head.fields.len() <= limits.fields);
    assert!(!head.method.is_empty() && !head.target.is_empty() && !head.path.is_empty());
    let target = head.target.of(buf);
    assert!(!control(target) && !target.contains(&b' ') && !target.contains(&b'#'));
    for span in [head.path, head.query].into_iter().chain(head.authority) {
        assert!(head.target.start <= span.start && span.start <= span.end && span.end <= head.target.end);
    }
    assert!(matches!(head.path.of(buf)[0], b'/' | b'*') && !head.path.of(buf).contains(&b'?'));
    let mut last = head.target.end;
    for field in &head.fields {
        assert!(last < field.name.start && field.name.end < field.value.start + 1);
        assert!(hostler_wire::http1::response::is_token(field.name.of(buf)));
        let value = field.value.of(buf);
        assert!(hostler_wire::http1::response::is_field_value(value) && !control(value) && value == value.trim_ascii());
        last = field.value.end;
    }
    assert!(last as usize <= head.len);
    assert_framing(head, buf);
}

/// The framing again, from the fields, in the plainest way.
fn assert_framing(head: &Head, buf: &[u8]) {
    let named = |name: &str| {
        let same = move |field: &&hostler_wire::http1::Field| field.name.of(buf).eq_ignore_ascii_case(name.as_bytes());
        head.fields
            .iter()
            .filter(same)
            .map(|field| field.value.of(buf))
            .collect::<Vec<_>>()
    };
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    match head.framing {
        Framing::None => assert!(lengths.is_empty() && codings.is_empty()),
        Framing::Chunked => assert!(lengths.is_empty() && codings.len() == 1 && codings[0].len() == 7),
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() == 1);
            assert!(lengths[0].iter().all(u8::is_ascii_digit));
            assert_eq!(std::str::from_utf8(lengths[0]).unwrap().parse(), Ok(length));
        }
    }
    assert!(named("host").len() <= 1);
}
