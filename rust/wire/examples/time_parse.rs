//! How long one head takes: `cargo run --release -p hostler-wire --example time_parse`.
//!
//! The best of several rounds, since everything else that runs on a machine only ever adds time.

use hostler_wire::http1::{parse_head, BodyDecoder, Framing, Head, Limits};
use std::hint::black_box;
use std::time::Instant;

const LIMITS: Limits = Limits {
    request_line: 8192,
    head: 32768,
    fields: 100,
    body: 1 << 30,
};
const ROUNDS: usize = 30;
const CALLS: u32 = 20_000;

const HELLO: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const BROWSER: &[u8] = b"GET /shop/articles/?page=2&sort=price HTTP/1.1\r\n\
Host: shop.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://shop.example.org/shop/articles/?page=1&sort=price\r\n\
Connection: keep-alive\r\n\
Cookie: csrftoken=kVvSxIaQ1nLBBIRPJ8Qm3Xq0m1ZQ2mQx; sessionid=p2v0xk3m6d4a8s1f7g9h5j2k4l6q8w0e\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Priority: u=0, i\r\n\r\n";

fn main() {
    let mut head = Head::new();
    for (name, request) in [("hello", HELLO), ("browser", BROWSER)] {
        let best = best_of(|| {
            let parsed = parse_head(black_box(request), &LIMITS, &mut head);
            assert_eq!(black_box(parsed), Ok(true));
        });
        println!(
            "{name}: {best:.0} ns for {} bytes, {} fields",
            request.len(),
            head.fields.len()
        );
    }
    let mut chunked = Vec::new();
    for _ in 0..16 {
        chunked.extend_from_slice(b"1000\r\n");
        chunked.resize(chunked.len() + 4096, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let best = best_of(|| decode(black_box(&chunked)));
    println!("64 KB in 16 chunks: {best:.0} ns");
}

fn decode(input: &[u8]) {
    let mut body = BodyDecoder::new(Framing::Chunked, &LIMITS).expect("no length yet");
    let mut at = 0;
    while !body.is_done() {
        let step = body.step(&input[at..]).expect("a good body");
        black_box(&input[at + step.data.start..at + step.data.end]);
        at += step.consumed;
    }
}

/// Nanoseconds of one call in the best round.
fn best_of(mut call: impl FnMut()) -> f64 {
    let round = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    };
    (0..ROUNDS).map(|_| round(&mut call)).fold(f64::INFINITY, f64::min)
}
