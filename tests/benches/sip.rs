//! Decoding SIP from a byte stream, beside copying the same bytes and beside finding nothing but the message's end.

#[path = "support/report.rs"]
mod report;
#[path = "support/samples.rs"]
mod samples;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use holdover_protocol::sip::{Decoded, Decoder, Limits};

/// Messages in one read of a client that pipelines.
const PIPELINED: usize = 16;

const NAMES: [&str; 3] = ["memcpy", "framing", "decode"];

fn main() {
    let one = info();
    let many = one.repeat(PIPELINED);
    let mut criterion = report::criterion();
    run(&mut criterion, "info", &one);
    run(&mut criterion, "info-pipelined", &many);
    report::print("info", one.len(), &NAMES, &["framing", "memcpy"]);
    report::print("info-pipelined", many.len(), &NAMES, &["framing", "memcpy"]);
    if let Some(time) = report::nanoseconds("info-pipelined", "decode") {
        println!(
            "\nper pipelined INFO of {} B: {:.0} ns",
            one.len(),
            time / PIPELINED as f64
        );
    }
}

fn run(criterion: &mut Criterion, name: &str, stream: &[u8]) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("memcpy", |bench| bench.iter(|| black_box(stream).to_vec()));
    group.bench_function("framing", |bench| bench.iter(|| frame(black_box(stream))));
    group.bench_function("decode", |bench| {
        // As a connection does: one decoder, and its memory given back whenever nothing is left in it. Dropping the
        // messages is part of their cost.
        let mut decoder = Decoder::new(Limits::default());
        bench.iter_batched(
            || (),
            |()| {
                decoder.push(black_box(stream));
                let mut messages = 0;
                while let Decoded::Message(message) = decoder.decode() {
                    messages += black_box(message.body()).len();
                }
                messages
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

/// The least that anybody does: the end of each head, and the length of its body. What was framed is copied once, as a
/// decoder does.
fn frame(stream: &[u8]) -> usize {
    let mut buffer = bytes::BytesMut::new();
    buffer.extend_from_slice(stream);
    let mut bodies = 0;
    while let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") {
        let head = buffer.split_to(end + 4);
        let Some(at) = memchr::memmem::find(&head, b"\r\nContent-Length: ") else {
            break;
        };
        let digits = head
            .iter()
            .skip(at + 18)
            .take_while(|byte| byte.is_ascii_digit());
        let length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        if buffer.len() < length {
            break;
        }
        bodies += black_box(buffer.split_to(length)).len();
    }
    bodies
}

/// An INFO of about a kilobyte as a legacy client sends it.
fn info() -> Vec<u8> {
    let body = samples::post(520, 7, false);
    let mut text = String::from(
        "INFO sip:10.20.30.40:5061;transport=tls SIP/2.0\r\n\
         Via: SIP/2.0/tls 10.20.31.17:49152\r\n\
         From: <sip:ann.example@contoso.com>;tag=1714636915;epid=0a1b2c3d4e5f\r\n\
         To: <sip:channel@contoso.com>;tag=7c1f0a9be35d4412\r\n\
         Max-Forwards: 70\r\n\
         CSeq: 42 INFO\r\n\
         User-Agent: Purple/2.14.12 Sipe/1.25.0 (linux-x86_64; RTC/6.0)\r\n\
         Call-ID: 2F13g5A7EaC92Bi3F0Dt4C17m81B6b5D29x1F40\r\n\
         Content-Type: text/plain\r\n",
    );
    text += &format!("Content-Length: {}\r\n\r\n{body}", body.len());
    text.into_bytes()
}
