//! What a parsed head says, and how early a bad one is refused.

use hostler_wire::http1::{parse_head, Framing, Head, Limits, Reject, Version};

const LIMITS: Limits = Limits {
    request_line: 64,
    head: 256,
    fields: 4,
    body: 100,
};

fn parse(bytes: &[u8]) -> Result<Option<Head>, Reject> {
    let mut head = Head::new();
    let complete = parse_head(bytes, &LIMITS, &mut head)?;
    Ok(complete.then_some(head))
}

fn parsed(bytes: &[u8]) -> Head {
    parse(bytes).expect("a good head").expect("a whole head")
}

fn refused(bytes: &[u8]) -> Reject {
    parse(bytes).expect_err("a bad head")
}

/// How many bytes of the stream it takes, one by one, until it is refused; with the status.
fn refused_after(stream: &[u8]) -> (usize, u16) {
    let mut head = Head::new();
    for len in 1..=stream.len() {
        if let Err(reject) = parse_head(&stream[..len], &LIMITS, &mut head) {
            return (len, reject.status);
        }
    }
    panic!("not refused");
}

#[test]
fn a_head_in_all_its_parts() {
    let bytes = b"POST /a/b?c=d?e HTTP/1.1\r\nHost: x:80\r\nContent-Length: 7\r\nX-A: \t b c\t \r\n\r\nnot the head";
    let head = parsed(bytes);
    assert_eq!(head.method.of(bytes), b"POST");
    assert_eq!(head.target.of(bytes), b"/a/b?c=d?e");
    assert_eq!(head.path.of(bytes), b"/a/b");
    assert_eq!(head.query.of(bytes), b"c=d?e");
    assert_eq!(head.authority, None);
    assert_eq!(head.host.map(|host| host.of(bytes)), Some(&b"x:80"[..]));
    assert_eq!(head.version, Version::Http11);
    assert_eq!(head.framing, Framing::Length(7));
    assert!(head.keep_alive && !head.expect_continue);
    assert_eq!(&bytes[head.len..], b"not the head");
    let fields: Vec<_> = head
        .fields
        .iter()
        .map(|field| (field.name.of(bytes), field.value.of(bytes)))
        .collect();
    assert_eq!(fields[0], (&b"Host"[..], &b"x:80"[..]));
    assert_eq!(fields[2], (&b"X-A"[..], &b"b c"[..]));
    assert_eq!((head.method.len(), head.method.is_empty()), (4, false));
}

#[test]
fn an_absolute_target_beats_the_host_field() {
    for (target, host, path, query) in [
        ("http://b:81/c?d", "b:81", "/c", "d"),
        ("https://b", "b", "/", ""),
        ("http://[::1]?d=/e", "[::1]", "/", "d=/e"),
        ("HTTP://b/?", "b", "/", ""),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n").into_bytes();
        let head = parsed(&bytes);
        assert_eq!(head.target.of(&bytes), target.as_bytes());
        assert_eq!(head.authority.map(|span| span.of(&bytes)), Some(host.as_bytes()));
        assert_eq!(head.host, head.authority);
        assert_eq!(head.path.of(&bytes), path.as_bytes(), "{target}");
        assert_eq!(head.query.of(&bytes), query.as_bytes(), "{target}");
        assert_eq!(
            head.fields[0].value.of(&bytes),
            b"other",
            "the field itself stays as it was sent"
        );
    }
}

#[test]
fn an_asterisk_is_its_own_path() {
    let bytes = b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n";
    let head = parsed(bytes);
    assert_eq!((head.path.of(bytes), head.query.of(bytes)), (&b"*"[..], &b""[..]));
    assert_eq!(head.host.map(hostler_wire::http1::Span::is_empty), Some(true));
}

#[test]
fn no_host_is_not_an_empty_host() {
    assert_eq!(parsed(b"GET / HTTP/1.0\r\n\r\n").host, None);
}

#[test]
fn the_skipped_empty_line_is_part_of_the_head() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = parsed(bytes);
    assert_eq!((head.method.of(bytes), head.len), (&b"GET"[..], bytes.len()));
}

#[test]
fn persistence_follows_version_and_options() {
    for (version, options, keep_alive) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: upgrade\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: foo, Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{options}\r\n");
        assert_eq!(parsed(bytes.as_bytes()).keep_alive, keep_alive, "{version} {options}");
    }
}

#[test]
fn expectations_are_for_http11() {
    let expect = |version, value| format!("GET / HTTP/{version}\r\nHost: a\r\nExpect: {value}\r\n\r\n").into_bytes();
    assert!(parsed(&expect("1.1", "100-CONTINUE")).expect_continue);
    assert!(!parsed(&expect("1.0", "100-continue")).expect_continue);
    assert!(!parsed(&expect("1.0", "something")).expect_continue);
    assert_eq!(refused(&expect("1.1", "something")).status, 417);
}

#[test]
fn one_head_serves_many_requests() {
    let mut head = Head::default();
    let first = b"POST http://b/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(parse_head(first, &LIMITS, &mut head), Ok(true));
    assert_eq!(head.framing, Framing::Chunked);
    let room = head.fields.capacity();
    let bytes = b"GET / HTTP/1.0\r\n";
    assert_eq!(parse_head(bytes, &LIMITS, &mut head), Ok(false));
    assert_eq!(
        (head.path.of(bytes), head.len),
        (&b"/"[..], 0),
        "filled while bytes come"
    );
    assert_eq!(parse_head(b"GET / HTTP/1.0\r\n\r\n", &LIMITS, &mut head), Ok(true));
    assert_eq!((head.authority, head.host, head.framing), (None, None, Framing::None));
    assert!(head.fields.is_empty() && !head.keep_alive && !head.expect_continue);
    assert_eq!(head.fields.capacity(), room);
}

#[test]
fn what_cannot_be_http_is_refused_at_once() {
    assert_eq!(refused_after(b"\x16\x03\x01\x02\x00"), (1, 400));
    assert_eq!(refused(b"\x16\x03\x01").reason, "a TLS handshake on a plaintext port");
    assert_eq!(refused_after(b"\0\0\0\x05"), (1, 400));
    assert_eq!(refused_after(b"GE\x01"), (3, 400));
    assert_eq!(refused_after(b"\r\n\r"), (3, 400));
    assert_eq!(refused_after(&[b'A'; 40]), (33, 501));
    assert_eq!(refused_after(b"GET / HTTP/1.1\nHost"), (15, 400));
}

#[test]
fn a_head_that_can_never_be_valid_is_refused_at_its_first_wrong_byte() {
    for (bytes, status) in [
        // The request line.
        ("\r\r", 400),
        (" ", 400),
        ("G\n", 400),
        ("GET  ", 400),
        ("GET \r", 400),
        ("GET /\r", 400),
        ("GET /\n", 400),
        ("GET /\t", 400),
        ("GET /#", 400),
        ("GET /\x7f", 400),
        ("GET / h", 400),
        ("GET / HTTX", 400),
        ("GET / HTTP/1,", 400),
        ("GET / HTTP/10", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/1.11", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET / HTTP/1.1\rH", 400),
        // Its meaning, at its end.
        ("GET x HTTP/1.1\r\n", 400),
        ("GET * HTTP/1.1\r\n", 400),
        ("GET http://a:x/ HTTP/1.1\r\n", 400),
        ("CONNECT a:1 HTTP/1.1\r\n", 501),
        // Field lines.
        ("GET / HTTP/1.1\r\n ", 400),
        ("GET / HTTP/1.1\r\nA: b\r\n\t", 400),
        ("GET / HTTP/1.1\r\n:", 400),
        ("GET / HTTP/1.1\r\nA ", 400),
        ("GET / HTTP/1.1\r\nA\r", 400),
        ("GET / HTTP/1.1\r\nA\n", 400),
        ("GET / HTTP/1.1\r\nA\0", 400),
        ("GET / HTTP/1.1\r\nA: b\0", 400),
        ("GET / HTTP/1.1\r\nA: b\x1b", 400),
        ("GET / HTTP/1.1\r\nA: b\n", 400),
        ("GET / HTTP/1.1\r\nA: b\rB", 400),
        ("GET / HTTP/1.1\r\nA: b\r\r", 400),
        ("GET / HTTP/1.1\r\nA: b\r\n\n", 400),
        ("GET / HTTP/1.1\r\nA: b\r\n\rX", 400),
        // Their meaning, at the end of each.
        ("GET / HTTP/1.1\r\nHost: a b\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n", 400),
        ("GET / HTTP/1.1\r\nContent-Length: +1\r\n", 400),
        (
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            400,
        ),
    ] {
        let more = format!("{bytes}whatever follows");
        assert_eq!(refused_after(more.as_bytes()), (bytes.len(), status), "{bytes:?}");
    }
}

/// The other half: a head that is waited for can still become one. All streams of a few symbols, put behind beginnings.
#[test]
fn a_head_that_is_waited_for_can_still_be_completed() {
    const BEGINNINGS: [&str; 4] = ["", "GET /", "GET / HTTP/1.0\r\n", "GET / HTTP/1.0\r\nA:"];
    const SYMBOLS: [&str; 11] = ["G", " ", "/", "HTTP/1", ".1", "\r", "\n", ":", "\t", "\0", "\u{80}"];
    const ENDS: [&str; 12] = [
        "\r\nA / HTTP/1.0\r\n\r\n",
        "\nA / HTTP/1.0\r\n\r\n",
        "A / HTTP/1.0\r\n\r\n",
        " / HTTP/1.0\r\n\r\n",
        "/ HTTP/1.0\r\n\r\n",
        " HTTP/1.0\r\n\r\n",
        "HTTP/1.0\r\n\r\n",
        ".0\r\n\r\n",
        ":\r\nHost:\r\n\r\n",
        "\r\nHost:\r\n\r\n",
        "\nHost:\r\n\r\n",
        "Host:\r\n\r\n",
    ];
    let is_whole = |stream: &str| parse(stream.as_bytes()).is_ok_and(|head| head.is_some());
    for beginning in BEGINNINGS {
        for number in 0..SYMBOLS.len().pow(5) {
            let places = (0..5).map(|place| SYMBOLS[number / SYMBOLS.len().pow(place) % SYMBOLS.len()]);
            let stream = beginning.to_owned() + &places.collect::<String>();
            let waits = parse(stream.as_bytes()).is_ok_and(|head| head.is_none());
            // A target that is no path is judged with its line, since HTTP/2's preface has one and is to get its 505.
            let is_path = |target: &str| target.is_empty() || target.starts_with('/');
            if !waits || !stream.trim_start().split(' ').nth(1).is_none_or(is_path) {
                continue;
            }
            let completes = |end: &&str| is_whole(&format!("{stream}{end}"));
            assert!(ENDS.iter().any(&completes), "{stream:?}");
        }
    }
}

#[test]
fn later_minor_versions_are_read_as_the_latest_that_is_known() {
    for minor in 1..10 {
        let bytes = format!("GET / HTTP/1.{minor}\r\nHost: a\r\n\r\n");
        let head = parsed(bytes.as_bytes());
        assert_eq!((head.version, head.keep_alive), (Version::Http11, true), "{bytes}");
        assert_eq!(
            refused(format!("GET / HTTP/1.{minor}\r\n\r\n").as_bytes()).reason,
            "no Host"
        );
    }
    for other in ["0.9", "0.1", "2.0", "3.0", "9.9"] {
        assert_eq!(
            refused(format!("GET / HTTP/{other}\r\n\r\n").as_bytes()).status,
            505,
            "{other}"
        );
    }
}

#[test]
fn any_token_of_a_sensible_length_is_a_method() {
    for method in ["-X", "!", "get", "a.b", "~", &"M".repeat(32)] {
        let bytes = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        assert_eq!(parsed(&bytes).method.of(&bytes), method.as_bytes());
    }
}

#[test]
fn limits_hold_while_bytes_arrive() {
    // Behind 64 bytes only the CR that ends them may stand.
    assert_eq!(refused_after(&[b"GET /", &[b'a'; 200][..]].concat()), (65, 414));
    assert_eq!(
        refused_after(&[b"GET / HTTP/1.1\r\nX: ", &[b'a'; 900][..]].concat()),
        (257, 431)
    );
    let fields = b"GET / HTTP/1.1\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n";
    assert_eq!(refused_after(fields), (16 + 4 * 6 + 1, 431));
}

#[test]
fn limits_are_inclusive() {
    let line = |len: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(len - 14)).into_bytes();
    assert!(parse(&line(64)).is_ok());
    assert_eq!(refused(&line(65)).status, 414);
    let head = |len: usize| format!("GET / HTTP/1.0\r\nA:{}\r\n\r\n", "a".repeat(len - 22)).into_bytes();
    assert_eq!(parsed(&head(256)).len, 256);
    assert_eq!(refused(&head(257)).status, 431);
    let fields = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "A: b\r\n".repeat(count)).into_bytes();
    assert_eq!(parsed(&fields(4)).fields.len(), 4);
    assert_eq!(refused(&fields(5)).status, 431);
}

#[test]
fn limits_are_of_the_head_not_of_what_follows() {
    let bytes = [b"GET / HTTP/1.0\r\n\r\n", &[b'\n'; 5000][..]].concat();
    assert_eq!(parsed(&bytes).len, 18);
}

#[test]
fn the_skipped_empty_line_is_not_part_of_the_request_line() {
    let line = |len: usize| format!("\r\nGET /{} HTTP/1.0\r\n\r\n", "a".repeat(len - 14)).into_bytes();
    assert!(parse(&line(64)).is_ok());
    assert_eq!(refused(&line(65)).status, 414);
    assert_eq!(refused_after(&line(65)), (67, 414));
}

/// Limits that no server would run with: nothing panics, and still no cut changes the verdict.
#[test]
fn limits_without_sense_do_no_harm() {
    let streams = [
        &b"\r"[..],
        b"\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.0\r\nA: b\r\n\r\n",
        b"GETGET(T",
        b"\r\nGETGET(T",
    ];
    let sizes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 18, usize::MAX];
    for (stream, size) in streams.into_iter().flat_map(|stream| sizes.map(|size| (stream, size))) {
        for (request_line, head) in [(size, usize::MAX), (usize::MAX, size), (size, size)] {
            let limits = Limits {
                request_line,
                head,
                fields: size,
                body: 0,
            };
            let whole = parse_head(stream, &limits, &mut Head::new());
            let mut head = Head::new();
            let drip = (1..=stream.len())
                .map(|len| parse_head(&stream[..len], &limits, &mut head))
                .find(|verdict| *verdict != Ok(false));
            assert_eq!(drip.unwrap_or(Ok(false)), whole, "{limits:?} {stream:?}");
        }
    }
}

#[test]
fn reasons_name_the_fault() {
    let fault = |bytes: &str| refused(bytes.as_bytes()).reason;
    assert_eq!(fault("GET /a#b HTTP/1.1\r\n\r\n"), "a fragment in the request target");
    assert_eq!(
        fault("GET  / HTTP/1.1\r\n\r\n"),
        "more than one space in the request line"
    );
    assert_eq!(fault("GET /\r\n\r\n"), "the request line has no version");
    assert_eq!(fault("GET \r\n\r\n"), "the request line has no target");
    assert_eq!(fault("GET / HTTP/1.1\r\n\r\n"), "no Host");
    assert_eq!(fault("GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n"), "a folded header line");
    assert_eq!(
        fault("GET / HTTP/1.1\r\nX : a\r\n\r\n"),
        "whitespace before the colon of a header"
    );
    assert_eq!(fault("GET / HTTP/1.1\r\nX\r\n\r\n"), "a header line without a colon");
    assert_eq!(
        fault("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n"),
        "a bare CR in a header value"
    );
    let both = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(fault(both), "both Content-Length and Transfer-Encoding");
    assert_eq!(
        refused(both.as_bytes()).to_string(),
        "400 both Content-Length and Transfer-Encoding"
    );
}
