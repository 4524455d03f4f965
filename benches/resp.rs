//! Parsing requests and writing replies, next to a general-purpose implementation of the protocol.

use divan::{Bencher, black_box};
use ochre::resp::{Limits, Out, Parsed, Parser, Scratch};
use redis_protocol::resp2::decode::{decode, decode_range};
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::OwnedFrame;

fn main() {
    divan::main();
}

fn command(args: &[&str]) -> Vec<u8> {
    let mut out = Out::new();
    out.array(args.len());
    args.iter().for_each(|arg| out.bulk(arg.as_bytes()));
    out.as_slice().unwrap_or_default().to_vec()
}

fn set() -> Vec<u8> {
    command(&["SET", "key:000000001234", "value-value-value-value-value-va"])
}

fn gets() -> Vec<u8> {
    (0..16).flat_map(|i| command(&["GET", &format!("key:{i:012}")])).collect()
}

fn parse(bencher: Bencher, bytes: Vec<u8>) {
    let (mut parser, mut scratch, limits) = (Parser::new(), Scratch::new(), Limits::default());
    bencher.bench_local(|| {
        let bytes = black_box(&bytes[..]);
        let (mut at, mut seen) = (0, 0);
        while at < bytes.len() {
            let Ok(Parsed::Command(command)) = parser.next(bytes, &mut at, &mut scratch, &limits) else {
                break;
            };
            seen += command.len();
        }
        black_box(&scratch);
        scratch.clear();
        seen
    });
}

#[divan::bench]
fn parse_set(bencher: Bencher) {
    parse(bencher, set());
}

#[divan::bench]
fn parse_16_gets(bencher: Bencher) {
    parse(bencher, gets());
}

#[divan::bench]
fn parse_inline_ping(bencher: Bencher) {
    parse(bencher, b"PING\r\n".to_vec());
}

#[divan::bench]
fn parse_set_redis_protocol(bencher: Bencher) {
    let bytes = set();
    bencher.bench_local(|| decode(black_box(&bytes)));
}

#[divan::bench]
fn parse_set_redis_protocol_ranges(bencher: Bencher) {
    let bytes = set();
    bencher.bench_local(|| decode_range(black_box(&bytes)));
}

#[divan::bench]
fn parse_16_gets_redis_protocol_ranges(bencher: Bencher) {
    let bytes = gets();
    bencher.bench_local(|| {
        let (mut at, mut seen) = (0, 0);
        while let Ok(Some((_, len))) = decode_range(black_box(&bytes[at..])) {
            at += len;
            seen += 1;
        }
        seen
    });
}

/// Writes 64 replies per iteration into one output, as a turn does.
fn reply(bencher: Bencher, write: impl Fn(&mut Out)) {
    let mut out = Out::new();
    bencher.counter(divan::counter::ItemsCount::new(64usize)).bench_local(|| {
        out.clear();
        for _ in 0..64 {
            write(black_box(&mut out));
        }
        out.len_bytes()
    });
}

#[divan::bench]
fn write_64_ok(bencher: Bencher) {
    reply(bencher, |out| out.simple(black_box("OK")));
}

#[divan::bench]
fn write_64_int(bencher: Bencher) {
    reply(bencher, |out| out.int(black_box(1234)));
}

#[divan::bench]
fn write_64_bulk_of_64_bytes(bencher: Bencher) {
    let data = [b'x'; 64];
    reply(bencher, |out| out.bulk(black_box(&data)));
}

#[divan::bench]
fn write_64_bulk_of_64_bytes_redis_protocol(bencher: Bencher) {
    let frame = OwnedFrame::BulkString(vec![b'x'; 64]);
    let mut bytes = vec![0; 128 * 64];
    bencher.counter(divan::counter::ItemsCount::new(64usize)).bench_local(|| {
        let mut len = 0;
        for _ in 0..64 {
            len += encode(black_box(&mut bytes[len..]), black_box(&frame), false).unwrap_or_default();
        }
        len
    });
}

#[divan::bench]
fn write_64_double(bencher: Bencher) {
    reply(bencher, |out| out.double(black_box(1234.5625)));
}
